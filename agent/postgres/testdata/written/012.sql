insert into tasks (namespace, name, uid, by, repository, layer, digest, gpus, state, submitted, ended) values
    ('lab', 'train', 'task-uid', 'a person', 1, 'bert', 'sha256:' || repeat('4', 64), 1, 'succeeded', now(), now());
