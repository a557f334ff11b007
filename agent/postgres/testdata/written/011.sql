insert into node_images (node, digest, seen) values ('gpu-1', 'sha256:' || repeat('4', 64), date_trunc('hour', now()));
update environments set nodes = '{"eligible": 2, "holding": 1, "missing": ["gpu-2"]}';
