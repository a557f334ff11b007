-- What holds a rollout, and which holds a person had it pass: those alone.

alter table rollouts
    add column gate short_text not null default '',
    add column passed jsonb not null default '[]';
comment on column rollouts.gate is 'The gate that holds it and that a person can have it pass; empty if there is none';
comment on column rollouts.passed is 'The gates that a person had it pass, each with the reason for which it held it';
