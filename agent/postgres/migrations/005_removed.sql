-- Images that clean-up removed from the registry.

alter table images add column removed_at timestamptz;
comment on column images.removed_at is 'When clean-up removed it from the registry; null, or the image counts, if it may be there still';
create index images_not_removed on images (id) where removed_at is null or lost_at is null;
