-- Which release a rollout is due to, so that it can be told how long that took to
-- come to a workload.

alter table rollouts add column released timestamptz;
comment on column rollouts.released is 'When the release was recorded that it is due to; null where it is due to something else, such as a person or an environment that is newer, and where a program decided it that does not know this column';
