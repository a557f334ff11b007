-- Which images from outside a layer's Dockerfile named, so that a moved one is told.

alter table run_layers add column outside jsonb not null default '{}';
comment on column run_layers.outside is 'Images from outside that its Dockerfile names: {REFERENCE: DIGEST}';

update run_layers l set outside = jsonb_build_object(i.base_image_ref, i.base_image_digest)
from images i
where i.id = l.image and l.parent is null and i.base_image_ref is not null and i.base_image_digest is not null;

comment on column images.lost_at is 'When the image ceased to count: the registry was found not to have it any more, or not what it stands on; null if it counts. The key is free for another image then';
