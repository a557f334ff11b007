-- Was to be cut off when it failed by itself.
update runs set cut_as = 'cancelled', cut_reason = 'cancelled' where id = 1;
