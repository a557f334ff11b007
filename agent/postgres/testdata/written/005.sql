update images set removed_at = now() where lost_at is not null;
