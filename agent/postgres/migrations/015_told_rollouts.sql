-- Who was told how rollouts go. As with runs, what is left to tell follows from the
-- rollouts.

create table told_rollouts (
    rollout    bigint not null references rollouts on delete cascade,
    target     short_text collate "C" not null,
    state      text,
    at         timestamptz,
    attempt    int not null default 0,
    busy       boolean not null default false,
    not_before timestamptz not null default now(),
    primary key (rollout, target),
    constraint known_state check (state in ('rolling', 'healthy', 'failed', 'rolled-back', 'superseded')),
    constraint told_at_a_time check ((state is null) = (at is null)),
    constraint attempt_counts check (attempt >= 0)
);
create index told_rollouts_busy on told_rollouts (target, rollout) where busy;
comment on table told_rollouts is 'What targets were last told of rollouts: the end of a rollout is told once its state here is the rollout''s';
comment on column told_rollouts.rollout is 'The rollout';
comment on column told_rollouts.target is 'Who is told; holds no secret';
comment on column told_rollouts.state is 'The state that the target was last told that the rollout is in, rolling standing for all from its begin to its end; null if nothing was told yet';
comment on column told_rollouts.at is 'When that was';
comment on column told_rollouts.attempt is 'How often it was tried to tell of the rollout''s state';
comment on column told_rollouts.busy is 'Whether an attempt is under way, unless its time, not_before, is over';
comment on column told_rollouts.not_before is 'When the next attempt may be made';

create index rollouts_ended on rollouts (finished) where finished is not null;
comment on index rollouts_ended is 'Rollouts whose end may have to be told';
