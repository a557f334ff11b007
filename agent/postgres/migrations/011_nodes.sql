-- Which nodes have which images, and on how many those of an environment are.

create table node_images (
    node   text collate "C" not null,
    digest digest not null,
    seen   timestamptz not null,
    primary key (node, digest),
    constraint node_length check (octet_length(node) between 1 and 253)
);
create index node_images_by_seen on node_images (seen);
comment on table node_images is 'Images that nodes of the cluster were seen to have';
comment on column node_images.node is 'Name of the node';
comment on column node_images.digest is 'Digest of the image''s manifest';
comment on column node_images.seen is 'When it was last seen there, to the hour';

alter table environments add column nodes jsonb;
comment on column environments.nodes is 'On how many nodes the images are that it has, or is about to get: {"eligible","holding","missing","last_seen"}; null if unknown';
