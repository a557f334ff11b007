update rollouts set gate = 'calendar', passed = '[{"gate": "idle", "reason": "node gpu-3 busy"}]';
