"""Rows of the tables as the first migrations make them, which later migrations then find."""

from __future__ import annotations

FIRST = [(app, "0001_initial") for app in ("tenants", "storage", "registry", "training", "modelpool_http")]
N = 2000

ROWS = f"""
INSERT INTO modelpool_tenant (id, name, display_name, is_active, store, default_policy, created_at)
  SELECT md5('tenant' || i)::uuid, CASE i WHEN 1 THEN 'default' ELSE 't' || i END, '', true,
         'default', '{{}}', now() FROM generate_series(1, {N}) i;
INSERT INTO modelpool_api_key (id, name, role, prefix, digest, created_at, created_by, tenant_id)
  SELECT md5('key' || i)::uuid, '', 'admin', 'mp_', md5('k' || i), now(), '', md5('tenant' || i)::uuid
  FROM generate_series(1, {N}) i;
INSERT INTO modelpool_stored_blob (key, size_bytes, is_complete, created_at)
  SELECT md5('blob' || i), 5, true, now() FROM generate_series(1, {N}) i;
INSERT INTO modelpool_artifact_chunk (number, data, blob_id)
  SELECT 0, 'bytes', id FROM modelpool_stored_blob;
INSERT INTO modelpool_artifact (id, store, state, filename, media_type, size_bytes, sha256, created_at, tenant_id)
  SELECT md5('artifact' || i)::uuid, 'default', 'ready', '', 'text/csv', 5, md5('a' || i), now(),
         md5('tenant' || i)::uuid FROM generate_series(1, {N}) i;
INSERT INTO modelpool_model
  (id, name, description, policy, store, tags, last_number, created_at, updated_at, created_by, tenant_id)
  SELECT md5('model' || i)::uuid, 'churn', '', '{{}}', '', '{{}}', 3, now(), now(), '', md5('tenant' || i)::uuid
  FROM generate_series(1, {N}) i;
INSERT INTO modelpool_model_version
  (id, number, state, trust, description, format, serving_format, size_bytes, sha256, signature, metrics,
   primary_metric, primary_mode, params, tags, figures, libraries, created_at, created_by, artifact_id, model_id,
   tenant_id)
  SELECT md5('version' || i || '/' || n)::uuid, n, 'ready', 'trained', '', 'onnx', 'onnx', 5, md5('a' || i), '{{}}',
         '{{}}', '', 'max', '{{}}', '{{}}', '{{}}', '{{}}', now(), '', md5('artifact' || i)::uuid,
         md5('model' || i)::uuid, md5('tenant' || i)::uuid
  FROM generate_series(1, {N}) i, generate_series(1, 3) n;
UPDATE modelpool_model SET active_version_id = v.id
  FROM modelpool_model_version v WHERE v.model_id = modelpool_model.id AND v.number = 3;
INSERT INTO modelpool_activation (id, number, previous, reason, at, by, model_id, tenant_id)
  SELECT md5('activation' || i || '/' || n)::uuid, n, nullif(n - 1, 0), 'requested', now() + n * interval '1 s', '',
         md5('model' || i)::uuid, md5('tenant' || i)::uuid
  FROM generate_series(1, {N}) i, generate_series(1, 3) n;
INSERT INTO modelpool_dataset (id, name, format, size_bytes, sha256, created_at, created_by, artifact_id, tenant_id)
  SELECT md5('dataset' || i)::uuid, '', 'csv', 5, md5('a' || i), now(), '', md5('artifact' || i)::uuid,
         md5('tenant' || i)::uuid FROM generate_series(1, {N}) i;
INSERT INTO modelpool_training_job
  (id, trainer, target, params, activate, tags, timeout_s, memory_limit_bytes, state, stage, progress, metrics,
   error_code, error_detail, cancel_requested, attempt, max_attempts, fence, worker, run_after, created_at, created_by,
   request_id, dataset_id, model_id, tenant_id)
  SELECT md5('job' || i)::uuid, 'tabular_classifier', 'y', '{{}}', '', '{{}}', 60, 1000000000, 'queued', '', 0, '{{}}',
         '', '', false, 0, 3, 0, '', now(), now(), '', '', md5('dataset' || i)::uuid, md5('model' || i)::uuid,
         md5('tenant' || i)::uuid FROM generate_series(1, {N}) i;
INSERT INTO modelpool_job_log_line (attempt, at, kind, text, job_id)
  SELECT 1, now(), 'log', 'a line', md5('job' || i)::uuid FROM generate_series(1, {N}) i, generate_series(1, 3) n;
INSERT INTO modelpool_idempotency_record
  (credential, key_digest, fingerprint, attempt, status, headers, answer, created_at, expires_at)
  SELECT 'c', md5('i' || i), '', '', 200, '{{}}', '', now(), now() FROM generate_series(1, {N}) i;
ANALYZE;
"""
