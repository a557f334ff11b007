-- Which run builds a key, so that two agents do not build it side by side.

create table turns (
    key  digest primary key,
    run  bigint not null references runs,
    hold uuid not null
);
comment on table turns is 'Keys that are being built. One counts while the claim lasts under which it was taken';
comment on column turns.key is 'The key';
comment on column turns.run is 'The run that builds it';
comment on column turns.hold is 'The claim on the run, as in runs.hold';
