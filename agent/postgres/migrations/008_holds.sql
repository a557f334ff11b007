-- Each hold on a run is told from all others, and doubtful failures are counted
-- on their own.

alter table runs
    add column hold uuid,
    add column doubted int not null default 0,
    add constraint doubted_counts check (doubted >= 0);
comment on column runs.hold is 'The claim on the run, or the last one: an owner whose claim lapsed may have claimed it again. Null if it was never claimed by a program that knows this column';
comment on column runs.doubted is 'How many attempts ended at an instruction that may not be to blame';
