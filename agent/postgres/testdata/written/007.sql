insert into environments (namespace, kind, name, uid, repository, track, images, commit, state) values
    ('lab', 'Deployment', 'bert', 'uid', 1, 'main', '[{"container": "bert", "layer": "bert", "to": "registry.example/bert@sha256:4"}]', repeat('b', 40), 'healthy');
insert into rollouts (environment, uid, repository, ref, commit, run, images, state, started, finished) values
    (1, 'uid', 1, 'refs/heads/main', repeat('b', 40), 2, '[{"container": "bert", "layer": "bert", "from": "", "to": "registry.example/bert@sha256:4"}]', 'healthy', now(), now());
insert into pins (environment, images, by) values (1, '{"bert": "registry.example/bert@sha256:4"}', 'a person');
