"""Uploads in pieces, below HTTP: quotas, expiry, and what a sweep leaves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from modelpool.core.errors import QuotaExceeded, StorageQuotaExceeded, TooLarge
from modelpool.core.upload_errors import OffsetMismatch, UploadExpired, UploadNotFound, UploadUnfinished
from modelpool.storage.models import Artifact, Upload
from modelpool.storage.resumable import append, begin_upload, chunks_of, get_upload, use_up, whole_upload
from modelpool.storage.services import get_store, storage_used, store_artifact, sweep
from modelpool.tenants.actors import SYSTEM
from modelpool.tenants.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

_ACTOR = SYSTEM
_KIB = 1024


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.objects.create(name="pieces", max_storage_bytes=100 * _KIB)


def test_what_cannot_fit_is_refused_before_a_byte_is_sent(tenant: Tenant):
    with pytest.raises(StorageQuotaExceeded):
        begin_upload(tenant, length=101 * _KIB, actor=_ACTOR)
    with pytest.raises(TooLarge):
        begin_upload(tenant, length=2**40, actor=_ACTOR)


def test_bytes_count_while_they_arrive(tenant: Tenant):
    first, second = (begin_upload(tenant, length=80 * _KIB, actor=_ACTOR) for _ in range(2))
    append(first, offset=0, chunks=[bytes(70 * _KIB)])
    assert storage_used(tenant) == 70 * _KIB
    with pytest.raises(StorageQuotaExceeded):
        append(second, offset=0, chunks=[bytes(40 * _KIB)])
    assert get_upload(tenant, second.pk).offset == 0
    assert storage_used(tenant) == 70 * _KIB


def test_the_file_that_is_made_of_it_counts_once(tenant: Tenant):
    upload = append(begin_upload(tenant, length=90 * _KIB, actor=_ACTOR), offset=0, chunks=[bytes(90 * _KIB)])
    artifact = store_artifact(tenant, chunks=chunks_of(upload), store="default", replaces_bytes=upload.length)
    with transaction.atomic():
        use_up(upload)
    assert storage_used(tenant) == artifact.size_bytes == 90 * _KIB
    with pytest.raises(UploadNotFound), transaction.atomic():
        use_up(upload)


def test_bytes_are_taken_only_where_the_upload_stands(tenant: Tenant):
    upload = begin_upload(tenant, length=4, actor=_ACTOR)
    append(upload, offset=0, chunks=[b"ab"])
    with pytest.raises(OffsetMismatch):  # this row was read before the other piece was kept
        append(upload, offset=0, chunks=[b"xy"])
    with pytest.raises(UploadUnfinished):
        whole_upload(tenant, upload.pk)
    append(get_upload(tenant, upload.pk), offset=2, chunks=[b"cd"])
    assert b"".join(chunks_of(whole_upload(tenant, upload.pk))) == b"abcd"


def test_an_expired_upload_is_gone_with_its_bytes(tenant: Tenant):
    upload = append(begin_upload(tenant, length=4, actor=_ACTOR), offset=0, chunks=[b"ab"])
    Upload.objects.for_tenant(tenant).update(expires_at=timezone.now() - timedelta(seconds=60))
    with pytest.raises(UploadExpired):
        get_upload(tenant, upload.pk)
    assert sweep(grace_s=3600, is_dry_run=True).expired_uploads == 1
    assert sweep(grace_s=3600).expired_uploads == 1
    assert not Artifact.objects.for_tenant(tenant).exists()
    assert list(get_store("default").list(tenant.pk.hex)) == []
    with pytest.raises(UploadNotFound):
        get_upload(tenant, upload.pk)


def test_unfinished_uploads_are_counted(tenant: Tenant):
    for _ in range(100):
        begin_upload(tenant, length=1, actor=_ACTOR)
    with pytest.raises(QuotaExceeded):
        begin_upload(tenant, length=1, actor=_ACTOR)
