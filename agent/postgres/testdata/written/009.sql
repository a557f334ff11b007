update run_layers set outside = '{"docker.io/library/gone:1": ""}' where state = 'failed';
