update runs set hold = gen_random_uuid(), doubted = 1 where state = 'building';
