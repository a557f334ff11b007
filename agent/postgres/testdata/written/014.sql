update rollouts set released = queued;
