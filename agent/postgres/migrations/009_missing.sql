-- Images from outside that were not there are named, too.

comment on column run_layers.outside is 'Images from outside that its Dockerfile names: {REFERENCE: DIGEST}; where it failed as one was not there, that one, with an empty digest';
