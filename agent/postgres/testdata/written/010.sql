update rollouts set remark = 'it was warned of';
