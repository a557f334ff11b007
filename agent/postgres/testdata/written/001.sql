-- Main went a → b and built, a branch is queued, a run of another was killed.
insert into repositories (url) values ('https://git.example/lab.git');
insert into refs (repository, name, commit) values
    (1, 'refs/heads/main', repeat('b', 40)), (1, 'refs/heads/feature/x', repeat('c', 40)), (1, 'refs/heads/feature/y', repeat('d', 40));
insert into moves (repository, ref, old_commit, new_commit) values
    (1, 'refs/heads/main', null, repeat('a', 40)),
    (1, 'refs/heads/main', repeat('a', 40), repeat('b', 40)),
    (1, 'refs/heads/feature/x', null, repeat('c', 40)),
    (1, 'refs/heads/feature/y', null, repeat('d', 40));
insert into snapshots (repository, commit, complete) values (1, repeat('b', 40), true);
insert into runs (repository, ref, move, state, attempt, reason, started, finished, owner, lease_until, snapshot) values
    (1, 'refs/heads/main', 1, 'failed', 1, 'lab-layers.yaml: bad', now(), now(), 'one', null, null),
    (1, 'refs/heads/main', 2, 'succeeded', 1, '', now(), now(), 'one', null, 1),
    (1, 'refs/heads/feature/x', 3, 'queued', 0, '', null, null, null, null, null),
    (1, 'refs/heads/feature/y', 4, 'building', 1, '', now(), null, 'killed', now() - interval '1 minute', null);
insert into images (key, repository, digest, config, base_image_ref, base_image_digest,
    framework_type, framework_version, framework_evidence, gpu_driver_ver, gpu_driver_evidence, metadata, lost_at) values
    ('sha256:' || repeat('1', 64), 'base', 'sha256:' || repeat('2', 64), '{}', 'docker.io/library/debian:12', 'sha256:' || repeat('0', 64),
     'none', '', '', 'unknown', '', '{"frameworks": [], "gpu": {"name": "", "evidence": ""}}', null),
    ('sha256:' || repeat('3', 64), 'bert', 'sha256:' || repeat('5', 64), '{}', 'base', 'sha256:' || repeat('2', 64),
     'none', '', '', 'unknown', '', '{"frameworks": [], "gpu": {"name": "", "evidence": ""}}', now()),
    ('sha256:' || repeat('3', 64), 'bert', 'sha256:' || repeat('4', 64), '{}', 'base', 'sha256:' || repeat('2', 64),
     'none', '', '', 'unknown', '', '{"frameworks": [], "gpu": {"name": "", "evidence": ""}}', null);
insert into image_blobs (image, position, digest, diff_id, media_type, size, own) values
    (1, 0, 'sha256:' || repeat('6', 64), 'sha256:' || repeat('7', 64), 'application/vnd.oci.image.layer.v1.tar+gzip', 10, true),
    (3, 0, 'sha256:' || repeat('6', 64), 'sha256:' || repeat('7', 64), 'application/vnd.oci.image.layer.v1.tar+gzip', 10, false);
insert into run_layers (run, layer, position, kind, parent, state, key, image, reasons, changed_paths, notes, seconds, steps, log) values
    (2, 'base', 0, 'base', null, 'built', 'sha256:' || repeat('1', 64), 1, '[{"kind": "new", "detail": "there was no such layer before"}]', '[]', '[]', 1, '[]', 'log'),
    (2, 'bert', 1, 'experiment', 'base', 'built', 'sha256:' || repeat('3', 64), 3, '[]', '[]', '[]', 1, '[]', 'log');
insert into snapshot_images (snapshot, layer, image, layer_hash, layer_size) values
    (1, 'base', 1, array['sha256:' || repeat('6', 64)]::digest[], 10), (1, 'bert', 3, '{}', 0);
insert into tags (repository, name, layer, digest, ref, run) values
    ('registry.example/base', 'main', 'base', 'sha256:' || repeat('2', 64), 'refs/heads/main', 2),
    ('registry.example/bert', 'main', 'bert', 'sha256:' || repeat('4', 64), 'refs/heads/main', 2);
