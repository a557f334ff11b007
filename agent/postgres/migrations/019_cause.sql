-- Why rollouts began that no release is the reason of: their reasons tell how they go.

alter table rollouts add column cause short_text not null default '';
comment on column rollouts.cause is 'Why it began, where that is no release: what it corrects, or that a person had it resumed; else empty';
