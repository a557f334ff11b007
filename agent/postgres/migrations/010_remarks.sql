-- What gates had to remark of the rollouts that they let begin.

alter table rollouts add column remark short_text not null default '';
comment on column rollouts.remark is 'What gates warned of, or could not know, as they let it begin; empty if nothing';

create or replace view rollout_images as
select r.id as rollout, e.namespace, e.kind, e.name, i.container, i.layer,
       substring(i."from" from '@(.*)$') as from_digest, substring(i."to" from '@(.*)$') as to_digest,
       r.ref, r.commit, r.state, r.reason, r.queued, r.started, r.finished, r.remark
from rollouts r join environments e on e.id = r.environment
cross join lateral jsonb_to_recordset(r.images) as i(container text, layer text, "from" text, "to" text);
comment on column rollout_images.remark is 'What gates warned of, or could not know, as they let the rollout begin; empty if nothing';
