-- Environments, how they are rolled to images, and where people pinned them.

create table environments (
    id         bigint generated always as identity primary key,
    namespace  text collate "C" not null,
    kind       text collate "C" not null,
    name       text collate "C" not null,
    uid        text collate "C" not null,
    repository bigint references repositories,
    track      short_text collate "C" not null,
    images     jsonb not null,
    commit     commit_id,
    state      text not null,
    reason     short_text not null default '',
    drift      short_text not null default '',
    resumed    boolean not null default false,
    adopted    timestamptz not null default now(),
    changed    timestamptz not null default now(),
    gone       timestamptz,
    unique (namespace, kind, name),
    constraint known_kind check (kind in ('Deployment', 'StatefulSet', 'DaemonSet', 'CronJob')),
    constraint name_length check (octet_length(name) between 1 and 253 and octet_length(namespace) between 1 and 253),
    constraint images_are_a_list check (jsonb_typeof(images) = 'array'),
    constraint known_state check (state in ('waiting', 'pending', 'held', 'rolling', 'rolling-back', 'healthy', 'degraded', 'failed', 'rolled-back', 'superseded', 'drifted', 'faulty'))
);
comment on table environments is 'Workloads of the cluster that run layers'' images';
comment on column environments.id is 'Id';
comment on column environments.namespace is 'Namespace';
comment on column environments.kind is 'Kind of the workload';
comment on column environments.name is 'Name of the workload';
comment on column environments.uid is 'The workload''s own id: one that was deleted and made anew has another';
comment on column environments.repository is 'The repository that it follows; null while its annotations name none that is known';
comment on column environments.track is 'What it follows: a branch, or a pattern of Git tags';
comment on column environments.images is 'What its containers have: [{"container","layer","to"}]';
comment on column environments.commit is 'The commit whose images it has; null if unknown';
comment on column environments.state is 'Where it stands: a state of its last rollout, or waiting (for images), degraded (pods are not available), drifted (set by hand) or faulty (its annotations are)';
comment on column environments.reason is 'Why it stands there, in one line';
comment on column environments.drift is 'What somebody set by hand; empty if nothing';
comment on column environments.resumed is 'Whether a person wants what is held to go on';
comment on column environments.adopted is 'When it was first seen, or seen again after it was gone';
comment on column environments.changed is 'When it last came to stand elsewhere';
comment on column environments.gone is 'When the workload was found deleted, or no environment any more; null if it is one';

create table rollouts (
    id          bigint generated always as identity primary key,
    environment bigint not null references environments,
    uid         text collate "C" not null,
    repository  bigint not null references repositories,
    ref         text collate "C" not null,
    commit      commit_id,
    run         bigint references runs,
    pinned      boolean not null default false,
    images      jsonb not null,
    state       text not null default 'pending',
    reason      short_text not null default '',
    queued      timestamptz not null default now(),
    started     timestamptz,
    finished    timestamptz,
    constraint images_are_a_list check (jsonb_typeof(images) = 'array'),
    constraint known_state check (state in ('pending', 'held', 'rolling', 'rolling-back', 'healthy', 'failed', 'rolled-back', 'superseded')),
    constraint ended check ((state in ('healthy', 'failed', 'rolled-back', 'superseded')) = (finished is not null)),
    constraint begun check (started is not null or state in ('pending', 'held', 'superseded'))
);
create index rollouts_by_environment on rollouts (environment, id);
create unique index rollouts_open on rollouts (environment) where finished is null;
comment on table rollouts is 'The ways of environments to images, and what became of each';
comment on index rollouts_open is 'One rollout of an environment is under way at a time';
comment on column rollouts.id is 'Id, in the order in which they were decided on';
comment on column rollouts.environment is 'The environment';
comment on column rollouts.uid is 'The workload''s own id';
comment on column rollouts.repository is 'The repository of the images';
comment on column rollouts.ref is 'The ref of the images, written as in refs; empty for pinned ones of no one ref';
comment on column rollouts.commit is 'The commit of the images; null if unknown';
comment on column rollouts.run is 'The run that released the images; null for pinned ones';
comment on column rollouts.pinned is 'Whether a person pinned the images';
comment on column rollouts.images is 'The images: [{"container","layer","from","to","good"}]; good is what it goes back to if it fails';
comment on column rollouts.state is 'pending, held or rolling, and by way of rolling-back if need be healthy, failed, rolled-back or superseded for ever';
comment on column rollouts.reason is 'Why it stands there, in one line';
comment on column rollouts.queued is 'When it was decided on';
comment on column rollouts.started is 'When the workload was given the images; null before';
comment on column rollouts.finished is 'When it came to its final state';

create view rollout_images as
select r.id as rollout, e.namespace, e.kind, e.name, i.container, i.layer,
       substring(i."from" from '@(.*)$') as from_digest, substring(i."to" from '@(.*)$') as to_digest,
       r.ref, r.commit, r.state, r.reason, r.queued, r.started, r.finished
from rollouts r join environments e on e.id = r.environment
cross join lateral jsonb_to_recordset(r.images) as i(container text, layer text, "from" text, "to" text);
comment on view rollout_images is 'What rollouts changed, container by container';
comment on column rollout_images.rollout is 'The rollout';
comment on column rollout_images.namespace is 'The namespace of its environment';
comment on column rollout_images.kind is 'The kind of its environment';
comment on column rollout_images.name is 'The name of its environment';
comment on column rollout_images.container is 'The container that got the image';
comment on column rollout_images.layer is 'The layer whose image it got';
comment on column rollout_images.from_digest is 'The digest that it had; null if it had none';
comment on column rollout_images.to_digest is 'The digest that it was given';
comment on column rollout_images.ref is 'The ref of the image';
comment on column rollout_images.commit is 'The commit of the image';
comment on column rollout_images.state is 'The state of the rollout';
comment on column rollout_images.reason is 'Why it is in that state';
comment on column rollout_images.queued is 'When the rollout was decided';
comment on column rollout_images.started is 'When the workload was given the image; null before';
comment on column rollout_images.finished is 'When the rollout came to its final state';

create table pins (
    environment bigint primary key references environments,
    ref         text collate "C" not null default '',
    commit      commit_id,
    images      jsonb not null,
    by          short_text not null,
    since       timestamptz not null default now(),
    constraint images_are_an_object check (jsonb_typeof(images) = 'object')
);
comment on table pins is 'Environments that stay at images until a person resumes them';
comment on column pins.environment is 'The environment';
comment on column pins.ref is 'The ref of the images, as far as known';
comment on column pins.commit is 'The commit of the images, as far as known';
comment on column pins.images is 'The images: {CONTAINER: REFERENCE}, by digest';
comment on column pins.by is 'Who pinned it';
comment on column pins.since is 'When that was';
