-- Which older programs may still work with the records.

create table schema_support (
    oldest int not null,
    only_one boolean primary key default true check (only_one)
);
comment on table schema_support is 'Which older programs may still work with the records, in one row';
comment on column schema_support.oldest is 'The oldest version of the schema whose programs may. A migration that takes away what those of a version use raises it above that version';
comment on column schema_support.only_one is 'Keeps it to one row';

insert into schema_support (oldest) values (6);
