-- Who was told how runs go. What is left to tell follows from the runs.

create table told (
    run        bigint not null references runs on delete cascade,
    target     short_text collate "C" not null,
    state      text,
    at         timestamptz,
    attempt    int not null default 0,
    busy       boolean not null default false,
    not_before timestamptz not null default now(),
    primary key (run, target),
    constraint known_state check (state in ('queued', 'building', 'deploying', 'succeeded', 'failed', 'superseded', 'cancelled')),
    constraint told_at_a_time check ((state is null) = (at is null)),
    constraint attempt_counts check (attempt >= 0)
);
create index told_busy on told (target, run) where busy;
comment on table told is 'What targets were last told of runs: the end of a run is told once its state here is the run''s';
comment on column told.run is 'The run';
comment on column told.target is 'Who is told, such as a forge''s address; holds no secret';
comment on column told.state is 'The state that the target was last told that the run is in; null if nothing was told yet';
comment on column told.at is 'When that was';
comment on column told.attempt is 'How often it was tried to tell of the run''s state';
comment on column told.busy is 'Whether an attempt is under way, unless its time, not_before, is over';
comment on column told.not_before is 'When the next attempt may be made';

create index runs_ended on runs (finished) where finished is not null;
comment on index runs_ended is 'Runs whose end may have to be told';
