-- What is wrong with pods of environments, whatever else is told of these.

alter table environments add column unavailable short_text not null default '';
comment on column environments.unavailable is 'What is wrong with the pods of one that ran well before; empty if nothing is, while they are replaced, and where a program noted how it stands that does not know this column';
