-- The records of lab-layers. Times are the database's own.

create domain digest as text collate "C"
    check (value ~ '^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$');
comment on domain digest is 'An OCI digest: algorithm and hexadecimal digits';

create domain commit_id as text collate "C"
    check (value ~ '^([0-9a-f]{40}|[0-9a-f]{64})$');
comment on domain commit_id is 'The full id of a Git commit';

create domain layer_name as text collate "C"
    check (length(value) between 1 and 255 and value !~ '[/[:space:]]');
comment on domain layer_name is 'The name of a layer: one path component of an OCI repository name';

create domain short_text as text
    check (octet_length(value) <= 4096);
comment on domain short_text is 'A bounded text for people';

create table repositories (
    id    bigint generated always as identity primary key,
    url   text collate "C" not null unique,
    added timestamptz not null default now(),
    constraint url_length check (octet_length(url) between 1 and 2048),
    constraint url_has_no_password check (url !~ '^[^/]*://[^/@]*:[^/@]*@')
);
comment on table repositories is 'Git repositories that are looked after';
comment on column repositories.id is 'Id, of this installation alone';
comment on column repositories.url is 'Where the repository lies; without credentials';
comment on column repositories.added is 'When it was first seen';

create table refs (
    repository bigint not null references repositories,
    name       text collate "C" not null,
    commit     commit_id not null,
    seen       timestamptz not null default now(),
    primary key (repository, name),
    constraint name_length check (octet_length(name) between 1 and 1024)
);
comment on table refs is 'Where each branch and tag was last seen: what moves are found against';
comment on column refs.repository is 'The repository';
comment on column refs.name is 'Full name, such as refs/heads/main; bytes that are not UTF-8 are written \xff';
comment on column refs.commit is 'The commit that it pointed at';
comment on column refs.seen is 'When it was first seen there';

create table moves (
    id         bigint generated always as identity primary key,
    repository bigint not null references repositories,
    ref        text collate "C" not null,
    old_commit commit_id,
    new_commit commit_id,
    quiet      boolean not null default false,
    again      boolean not null default false,
    seen       timestamptz not null default now(),
    constraint ref_length check (octet_length(ref) between 1 and 1024),
    unique (repository, ref, id),
    constraint moved check (again = (old_commit is not distinct from new_commit))
);
create index moves_by_commit on moves (new_commit);
comment on table moves is 'Refs that went from one commit to another';
comment on column moves.id is 'Id, in the order in which moves were recorded';
comment on column moves.repository is 'The repository';
comment on column moves.ref is 'Full name of the ref, written as in refs';
comment on column moves.old_commit is 'Where it was; null if the ref is new';
comment on column moves.new_commit is 'Where it went; null if it was deleted';
comment on column moves.quiet is 'Whether the move is only recorded and gives no run';
comment on column moves.again is 'Whether the ref stayed where it was and its images are to be looked after again';
comment on column moves.seen is 'When the move was seen';

create table snapshots (
    id         bigint generated always as identity primary key,
    repository bigint not null references repositories,
    commit     commit_id not null,
    complete   boolean not null,
    taken      timestamptz not null default now(),
    unique (repository, commit)
);
create index snapshots_by_repository on snapshots (repository, id);
create index snapshots_by_commit on snapshots (commit);
comment on table snapshots is 'All images of one commit together';
comment on column snapshots.id is 'Id';
comment on column snapshots.repository is 'The repository';
comment on column snapshots.commit is 'The commit whose images these are';
comment on column snapshots.complete is 'False while a layer has no image because its build failed';
comment on column snapshots.taken is 'When it was last recorded';

create table runs (
    id          bigint generated always as identity primary key,
    repository  bigint not null,
    ref         text collate "C" not null,
    move        bigint not null unique,
    state       text not null default 'queued',
    attempt     int not null default 0,
    reason      short_text not null default '',
    queued      timestamptz not null default now(),
    not_before  timestamptz not null default now(),
    started     timestamptz,
    finished    timestamptz,
    owner       short_text,
    lease_until timestamptz,
    snapshot    bigint references snapshots,
    foreign key (repository, ref, move) references moves (repository, ref, id),
    constraint known_state check (state in ('queued', 'building', 'deploying', 'succeeded', 'failed', 'superseded', 'cancelled')),
    constraint attempt_counts check (attempt >= 0),
    constraint claimed check ((state in ('building', 'deploying')) = (lease_until is not null)),
    constraint owned check (state <> 'queued' or owner is null),
    constraint owned_while_claimed check (lease_until is null or owner is not null),
    constraint ended check ((state in ('succeeded', 'failed', 'superseded', 'cancelled')) = (finished is not null)),
    constraint success_needs_no_reason check (state <> 'succeeded' or reason = '')
);
create index runs_open on runs (id) where state in ('queued', 'building', 'deploying');
create index runs_open_by_ref on runs (repository, ref, id) where state in ('queued', 'building', 'deploying');
create unique index runs_at_work on runs (repository, ref) where lease_until is not null;
create index runs_with_snapshot on runs (repository, ref, id) where snapshot is not null;
comment on table runs is 'The work on moves: queued, building, deploying, then succeeded, failed, superseded or cancelled for ever';
comment on index runs_at_work is 'One run of a ref is at work at a time, so that a ref''s tags never go back';
comment on column runs.id is 'Id, in the order in which runs were queued';
comment on column runs.repository is 'The repository of the move';
comment on column runs.ref is 'The ref of the move, written as there: the runs of one ref go one after another';
comment on column runs.move is 'The move that the run is about';
comment on column runs.state is 'Where the run is; a final state is never left';
comment on column runs.attempt is 'How often the run was claimed';
comment on column runs.reason is 'Why it ended other than by success, or why it was put back into the queue';
comment on column runs.queued is 'When the run was queued';
comment on column runs.not_before is 'When a queued run may be claimed';
comment on column runs.started is 'When the last attempt began';
comment on column runs.finished is 'When it came to its final state';
comment on column runs.owner is 'The agent that has the run, or brought it to its end';
comment on column runs.lease_until is 'When the claim lapses unless it is extended; another agent may take the run then';
comment on column runs.snapshot is 'The images of the commit; null if no layer has one';

create function runs_go_forward() returns trigger language plpgsql as $$
begin
    if old.state in ('succeeded', 'failed', 'superseded', 'cancelled') then
        raise exception 'run % is % and stays so', old.id, old.state using errcode = 'check_violation';
    end if;
    if old.state = 'queued' and new.state in ('deploying', 'succeeded', 'failed') then
        raise exception 'run % was not claimed and cannot be %', old.id, new.state using errcode = 'check_violation';
    end if;
    return new;
end $$;
comment on function runs_go_forward is 'Keeps runs to their states'' order';
create trigger runs_go_forward before update of state on runs
    for each row when (old.state is distinct from new.state) execute function runs_go_forward();

create table images (
    id                 bigint generated always as identity primary key,
    key                digest not null,
    repository         text collate "C" not null,
    layer              text collate "C" generated always as (substring(repository from '[^/]*$')) stored,
    digest             digest not null,
    index_digest       digest,
    config             bytea not null,
    base_image_ref     text collate "C",
    base_image_digest  digest,
    framework_type     short_text not null,
    framework_version  short_text not null,
    framework_evidence short_text not null,
    gpu_driver_ver     short_text not null,
    gpu_driver_evidence short_text not null,
    metadata           jsonb not null,
    published          timestamptz not null default now(),
    lost_at            timestamptz,
    unique (key, digest),
    constraint repository_length check (octet_length(repository) between 1 and 1024),
    constraint base_image_length check (octet_length(base_image_ref) between 1 and 4096),
    constraint config_length check (octet_length(config) <= 16777216),
    constraint metadata_is_object check (jsonb_typeof(metadata) = 'object')
);
create unique index images_that_count on images (key) where lost_at is null;
create index images_by_digest on images (digest);
create index images_by_index on images (index_digest) where index_digest is not null;
create index images_by_base on images (base_image_digest) where base_image_digest is not null;
create index images_by_base_ref on images (base_image_ref) where base_image_ref is not null;
comment on table images is 'Built layers. A key has at most one image that counts: the first that was published, until the registry loses it';
comment on index images_that_count is 'Decides which image a key has: the first insert wins';
comment on column images.id is 'Id';
comment on column images.key is 'Content identity: a hash of everything that decided what the build made';
comment on column images.repository is 'Where it was first published: HOST/PREFIX/LAYER';
comment on column images.layer is 'Last component of the repository: the layer''s name';
comment on column images.digest is 'Digest of the platform''s manifest: the image''s identity';
comment on column images.index_digest is 'Digest of the index that carries its attestations; null if there is none';
comment on column images.config is 'The OCI image configuration (JSON), exactly as published';
comment on column images.base_image_ref is 'Name of the image that it stands on; null on scratch';
comment on column images.base_image_digest is 'Digest of the image that it stands on; null on scratch or if unknown';
comment on column images.framework_type is 'The most specific framework found in it, or none';
comment on column images.framework_version is 'Version of that framework; empty if nothing shows it';
comment on column images.framework_evidence is 'What shows the framework and its version';
comment on column images.gpu_driver_ver is 'The lowest NVIDIA driver that it needs, or unknown';
comment on column images.gpu_driver_evidence is 'What shows the driver requirement';
comment on column images.metadata is 'Everything that was found in it, with the evidence for each finding';
comment on column images.published is 'When it was recorded under its key';
comment on column images.lost_at is 'When the registry was found not to have it any more; null if it has. The key is free for another image then';

create table image_blobs (
    image      bigint not null references images on delete cascade,
    position   int not null,
    digest     digest not null,
    diff_id    digest not null,
    media_type text collate "C" not null,
    size       bigint not null,
    own        boolean not null,
    primary key (image, position),
    constraint position_counts check (position >= 0),
    constraint size_counts check (size >= 0),
    constraint media_type_length check (octet_length(media_type) <= 255)
);
create index image_blobs_by_digest on image_blobs (digest);
comment on table image_blobs is 'The file-system layers of images';
comment on column image_blobs.image is 'The image';
comment on column image_blobs.position is '0 is the lowest';
comment on column image_blobs.digest is 'Digest as stored (compressed)';
comment on column image_blobs.diff_id is 'Digest of its uncompressed content';
comment on column image_blobs.media_type is 'OCI media type';
comment on column image_blobs.size is 'Bytes as stored (compressed)';
comment on column image_blobs.own is 'False if the image that it stands on already has the blob';

create table run_layers (
    run               bigint not null references runs,
    layer             layer_name not null,
    position          int not null,
    kind              text,
    parent            layer_name,
    state             text not null,
    key               digest,
    previous_key      digest,
    image             bigint references images,
    reasons           jsonb not null,
    changed_paths     jsonb not null,
    rebuild_from      jsonb,
    notes             jsonb not null,
    seconds           double precision not null,
    steps             jsonb not null,
    log               text not null,
    error             text,
    error_file        text,
    error_line        int,
    error_instruction text,
    error_tail        jsonb,
    primary key (run, position),
    unique (layer, run),
    constraint position_counts check (position >= 0),
    constraint known_kind check (kind in ('base', 'framework', 'experiment')),
    constraint known_state check (state in ('reused', 'built', 'failed', 'blocked', 'cancelled', 'absent')),
    constraint image_if_made check ((state in ('reused', 'built')) = (image is not null)),
    constraint error_if_failed check (state <> 'failed' or error is not null),
    constraint seconds_count check (seconds >= 0),
    constraint log_length check (octet_length(log) <= 4194304),
    constraint error_length check (octet_length(error) <= 65536 and octet_length(error_file) <= 4096 and octet_length(error_instruction) <= 65536),
    constraint error_line_counts check (error_line >= 1)
);
create index run_layers_by_image on run_layers (image);
comment on table run_layers is 'What became of each layer in a run, and why';
comment on column run_layers.run is 'The run';
comment on column run_layers.layer is 'The layer';
comment on column run_layers.position is 'Place in the plan: parents stand before their children';
comment on column run_layers.kind is 'base, framework or experiment; null if the run had no plan';
comment on column run_layers.parent is 'The layer that it stands on; null if that is an image from outside';
comment on column run_layers.state is 'reused, built, failed, blocked (its parent has no image), cancelled, or absent (the commit does not have it)';
comment on column run_layers.key is 'Content identity of the layer at the commit; null if it has none';
comment on column run_layers.previous_key is 'Its key where the ref was before; null if there was none';
comment on column run_layers.image is 'The image that it has; null if it has none';
comment on column run_layers.reasons is 'What moved: [{"kind","detail"}]';
comment on column run_layers.changed_paths is 'Files that moved among those that the layer reads, the first 1000 of them';
comment on column run_layers.rebuild_from is 'The first instruction whose inputs moved: {"file","line","text"}';
comment on column run_layers.notes is 'Where an input could not be narrowed exactly';
comment on column run_layers.seconds is 'Seconds that its build took; 0 without a build';
comment on column run_layers.steps is 'Steps of the build, in the order in which they ended';
comment on column run_layers.log is 'Output of the build: of a long one head and tail';
comment on column run_layers.error is 'Why it has no image';
comment on column run_layers.error_file is 'File of the failing instruction';
comment on column run_layers.error_line is 'Line of the failing instruction, from 1';
comment on column run_layers.error_instruction is 'The failing instruction as written';
comment on column run_layers.error_tail is 'The last lines of the failing instruction''s output';

create table snapshot_images (
    snapshot   bigint not null references snapshots,
    layer      layer_name not null,
    image      bigint not null references images,
    layer_hash digest[] not null,
    layer_size bigint not null,
    primary key (snapshot, layer),
    constraint layer_size_counts check (layer_size >= 0)
);
create index snapshot_images_by_image on snapshot_images (image);
comment on table snapshot_images is 'The images of snapshots';
comment on column snapshot_images.snapshot is 'The snapshot';
comment on column snapshot_images.layer is 'The layer';
comment on column snapshot_images.image is 'Its image';
comment on column snapshot_images.layer_hash is 'The change set: digests of the blobs that the layer''s image in the snapshot before did not have, lowest first';
comment on column snapshot_images.layer_size is 'Bytes of these blobs: what a node that has the image before must pull';

create table tags (
    repository text collate "C" not null,
    name       text collate "C" not null,
    layer      layer_name not null,
    digest     digest not null,
    ref        text collate "C" not null,
    run        bigint not null references runs,
    moved      timestamptz not null default now(),
    expires    timestamptz,
    primary key (repository, name),
    constraint repository_length check (octet_length(repository) between 1 and 1024),
    constraint valid_name check (name ~ '^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$'),
    constraint ref_length check (octet_length(ref) between 1 and 1024)
);
create index tags_by_digest on tags (digest);
create index tags_by_layer on tags (layer, name);
comment on table tags is 'Tags in the registry and what they point at';
comment on column tags.repository is 'HOST/PREFIX/LAYER';
comment on column tags.name is 'The tag';
comment on column tags.layer is 'The layer';
comment on column tags.digest is 'The image that it points at';
comment on column tags.ref is 'The ref that gave the tag, written as in refs';
comment on column tags.run is 'The run that made it point there';
comment on column tags.moved is 'When that was';
comment on column tags.expires is 'When a temporary tag may go; null for a lasting one';

create view image_metadata as
select i.id, i.layer, i.key, i.digest,
       jsonb_build_object('name', i.base_image_ref, 'digest', i.base_image_digest,
                          'root', jsonb_build_object('name', root.ref, 'digest', root.digest)) as base_image,
       change.layer_hash,
       i.framework_type, i.framework_version, i.framework_evidence,
       i.gpu_driver_ver, i.gpu_driver_evidence
from images i
left join lateral (
    with recursive chain(depth, ref, digest) as (
        select 1, i.base_image_ref, i.base_image_digest
        union all
        select c.depth + 1, below.base_image_ref, below.base_image_digest
        from chain c
        cross join lateral (
            select * from images b where b.digest = c.digest order by b.lost_at is not null, b.id desc limit 1
        ) below
        where c.depth < 64
    )
    select c.ref, c.digest from chain c order by c.depth desc limit 1
) root on true
left join lateral (
    select s.layer_hash from snapshot_images s where s.image = i.id order by s.snapshot limit 1
) change on true;
comment on view image_metadata is 'What is said of every image';
comment on column image_metadata.id is 'The image';
comment on column image_metadata.layer is 'The layer';
comment on column image_metadata.key is 'Content identity';
comment on column image_metadata.digest is 'Digest of the manifest';
comment on column image_metadata.base_image is 'What it stands on, and the image from outside at the root of the chain';
comment on column image_metadata.layer_hash is 'The change set of the first snapshot that has it; null if none has';
comment on column image_metadata.framework_type is 'The most specific framework found in it, or none';
comment on column image_metadata.framework_version is 'Version of that framework';
comment on column image_metadata.framework_evidence is 'What shows it';
comment on column image_metadata.gpu_driver_ver is 'The lowest NVIDIA driver that it needs, or unknown';
comment on column image_metadata.gpu_driver_evidence is 'What shows it';
