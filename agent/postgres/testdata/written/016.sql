insert into cluster (uid) values ('5f0c8d1e-2a35-4c0b-9d52-0d6f5f6b7a11');
