-- Programs that ran once in a layer's image.

create table tasks (
    id         bigint generated always as identity primary key,
    namespace  text collate "C" not null,
    name       text collate "C" not null,
    uid        text collate "C" not null unique,
    by         short_text not null,
    repository bigint references repositories,
    layer      layer_name not null,
    track      short_text collate "C" not null default '',
    digest     digest,
    ref        text collate "C" not null default '',
    commit     commit_id,
    run        bigint references runs,
    gpus       int not null,
    queue      short_text not null default '',
    state      text not null,
    reason     short_text not null default '',
    attempts   int not null default 0,
    submitted  timestamptz not null,
    admitted   timestamptz,
    scheduled  timestamptz,
    started    timestamptz,
    finished   timestamptz,
    released   timestamptz,
    recorded   timestamptz not null default now(),
    ended      timestamptz,
    constraint name_length check (octet_length(name) between 1 and 253 and octet_length(namespace) between 1 and 253),
    constraint gpus_count check (gpus >= 0),
    constraint attempts_count check (attempts >= 0),
    constraint known_state check (state in ('waiting', 'queued', 'starting', 'running', 'ending', 'succeeded', 'failed', 'deleted')),
    constraint ended check ((state in ('succeeded', 'failed', 'deleted')) = (ended is not null))
);
create index tasks_open on tasks (namespace, name) where ended is null;
create index tasks_by_digest on tasks (digest);
create index tasks_by_user on tasks (by, id);
comment on table tasks is 'Programs that ran once in a layer''s image, or are to. They stay after their objects are gone from the cluster';
comment on column tasks.id is 'Id, in the order in which they were first seen';
comment on column tasks.namespace is 'Namespace';
comment on column tasks.name is 'Name of the LabTask';
comment on column tasks.uid is 'The object''s own id: one that was deleted and made anew has another';
comment on column tasks.by is 'Who submitted it';
comment on column tasks.repository is 'The repository of the layer; null while none is known by the name that was given';
comment on column tasks.layer is 'The layer whose image it has';
comment on column tasks.track is 'What it followed when it was submitted: a branch, or a pattern of Git tags; empty if it was given a digest';
comment on column tasks.digest is 'Digest of its image, chosen once; null until there was one';
comment on column tasks.ref is 'The ref of the image, written as in refs; empty until there was one';
comment on column tasks.commit is 'The commit of the image; null until there was one';
comment on column tasks.run is 'The run that gave the image; null until there was one';
comment on column tasks.gpus is 'GPUs that it asked for';
comment on column tasks.queue is 'The LocalQueue that it was submitted to; empty if to none';
comment on column tasks.state is 'waiting (for an image), queued, starting, running, ending, then succeeded, failed or deleted (before its end) for ever';
comment on column tasks.reason is 'Why it stands there, in one line';
comment on column tasks.attempts is 'Pods that it had';
comment on column tasks.submitted is 'When it was created, as the API server has it, like all times of it but the last two';
comment on column tasks.admitted is 'When its pod was made: when queue and quota had let it go; null before';
comment on column tasks.scheduled is 'When the pod was given a node; null before';
comment on column tasks.started is 'When the program did, at the first attempt; null before';
comment on column tasks.finished is 'When the program ended, at the last attempt; null before, and if nothing told of it';
comment on column tasks.released is 'When its Job had ended and its resources were free; null before, and if it was deleted';
comment on column tasks.recorded is 'When the record was last written, by the database''s clock';
comment on column tasks.ended is 'When its final state was recorded, by the database''s clock; null before';

create view task_times as
select id as task, namespace, name, by, layer, digest, gpus, state,
       greatest(scheduled - submitted, '0') as scheduling_delay, greatest(started - scheduled, '0') as initialisation,
       greatest(finished - started, '0') as run_time, greatest(released - finished, '0') as reclaim_time
from tasks;
comment on view task_times is 'How long tasks waited, started, ran and ended';
comment on column task_times.task is 'The task';
comment on column task_times.namespace is 'Its namespace';
comment on column task_times.name is 'Its name';
comment on column task_times.by is 'Who submitted it';
comment on column task_times.layer is 'The layer whose image it has';
comment on column task_times.digest is 'Digest of its image; null until there was one';
comment on column task_times.gpus is 'GPUs that it asked for';
comment on column task_times.state is 'Where it stands';
comment on column task_times.scheduling_delay is 'From the submission to a node; null if it came to none';
comment on column task_times.initialisation is 'From there to the start of the program; null if it did not start';
comment on column task_times.run_time is 'From the start to the end of the program; null if that is not known';
comment on column task_times.reclaim_time is 'From the end of the program until its resources were free; null if that is not known';
