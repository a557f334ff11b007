insert into told_rollouts (rollout, target, state, at) select id, 'notify labs.example', 'healthy', finished from rollouts;
