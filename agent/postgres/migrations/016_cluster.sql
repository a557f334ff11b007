-- Which cluster the environments, nodes and tasks are of: they are recorded by names
-- that another cluster may have, too.

create table cluster (
    single boolean primary key default true,
    uid    text collate "C" not null,
    since  timestamptz not null default now(),
    constraint one_row check (single),
    constraint uid_length check (octet_length(uid) between 1 and 253)
);
comment on table cluster is 'The cluster whose environments, nodes and tasks are recorded; empty while none is known';
comment on column cluster.single is 'True: there is one row at the most';
comment on column cluster.uid is 'The uid of its namespace kube-system, which no other cluster has';
comment on column cluster.since is 'When it was first served from these records';
