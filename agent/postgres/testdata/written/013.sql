insert into turns (key, run, hold) select 'sha256:' || repeat('5', 64), id, coalesce(hold, gen_random_uuid()) from runs order by id limit 1;
