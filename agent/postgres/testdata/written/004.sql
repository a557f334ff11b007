insert into told (run, target, state, at) values (2, 'https://git.example', 'succeeded', now());
