-- Runs that are cut off, and a queue that is fair between repositories.

alter table runs
    add column cut_as text,
    add column cut_reason short_text,
    add constraint cut_state check (cut_as in ('superseded', 'cancelled')),
    add constraint cut_has_reason check ((cut_as is null) = (cut_reason is null)),
    add constraint never_cut_while_deploying check (cut_as is null or state <> 'deploying');
comment on column runs.cut_as is 'How a run that is at work is to end at once, by whoever has it; null if it is to go on';
comment on column runs.cut_reason is 'Why it is to end';

create index runs_started on runs (repository, started) where started is not null;
comment on index runs_started is 'When each repository was served last: who waited longest is next';
