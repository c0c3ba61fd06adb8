"""Faults of a registry, sorted by their cause: each has its own words, and its own way on. Pure."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from re import Match

from pipeline.base.errors import one_line


class Cause(StrEnum):
    """Why a registry did not do what it was asked to."""

    UNREACHED = "not reached"
    FORBIDDEN = "refused by rights"
    GONE = "not found"
    FULL = "full"
    DAMAGED = "damaged"
    LOCKED = "locked"
    DRIVER = "missing driver"
    SCHEMA = "made by another MLflow"
    ADDRESS = "wrong address"
    FAILING = "failing"
    UNFIT = "refused as unfit"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Diagnosis:
    """A fault of a registry, in words for people."""

    cause: Cause
    said: str
    """What the registry did, as the rest of a sentence that begins with its name."""
    remedy: str
    """What to do before the same is run again."""


@dataclass(frozen=True)
class _Pattern:
    """Which texts of errors mean a fault."""

    cause: Cause
    pattern: str
    said: str
    remedy: str | Callable[[Match[str]], str]


CHECK = "check MLFLOW_TRACKING_URI and that the server runs"
NOT_NOTED = "somebody deleted it; MLflow does not note who"


def _package(module: str) -> str:
    """What to install for a module that is missing."""
    known = {
        "psycopg": "`python -m pip install 'psycopg[binary]'` (extra postgres of pyproject.toml)",
        "psycopg2": "`python -m pip install 'psycopg[binary]'`, and write postgresql:// without psycopg2",
        "MySQLdb": "`python -m pip install pymysql`, and write mysql+pymysql://",
        "boto3": "`python -m pip install boto3` (extra s3 of pyproject.toml)",
    }
    return known.get(module, f"`python -m pip install {module}`")


RULES = (
    _Pattern(
        Cause.DRIVER,
        r"(?:ModuleNotFoundError|ImportError): (?:No module named|import of) '?(\w+)",
        "needs a Python package that is not installed",
        lambda found: _package(found[1]),
    ),
    _Pattern(
        Cause.SCHEMA,
        r"out-of-date database schema|Can't locate revision",
        "is a database that another version of MLflow made",
        "use that version; or, if this one is newer, make a backup and run `mlflow db upgrade` with its address",
    ),
    _Pattern(
        Cause.DAMAGED,
        r"file is not a database|database disk image is malformed|malformed database schema",
        "is damaged",
        "restore it from a backup",
    ),
    _Pattern(
        Cause.LOCKED,
        r"database (?:table )?is locked",
        "is locked by another process that writes",
        "wait until that is done; where several machines write, let an MLflow server do it (`make server`)",
    ),
    _Pattern(
        Cause.FULL,
        r"No space left on device|database or disk is full|DiskFull|File too large|[Qq]uota exceeded|disk I/O error|"
        r"Insufficient Storage|XMinioStorageFull",
        "has no room left, or its disk fails",
        "make room where it keeps its database and artifacts (`df -h`)",
    ),
    _Pattern(
        Cause.FORBIDDEN,
        r"readonly database|PermissionError|Errno 13|permission denied for|read-only (?:transaction|file system)",
        "may only be read by this user",
        "ask for the right to write it, or run this as a user who has it",
    ),
    _Pattern(
        Cause.FORBIDDEN,
        r"UNAUTHENTICATED|error code 401|401 Client Error|authentication failed|no password supplied|"
        r"role \S+ does not exist|no pg_hba.conf entry|Access denied for user",
        "does not know this user, or not this password",
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (of a database: those in MLFLOW_TRACKING_URI)",
    ),
    _Pattern(
        Cause.FORBIDDEN,
        r"Unable to locate credentials|NoCredentialsError|PartialCredentialsError|InvalidAccessKeyId|"
        r"SignatureDoesNotMatch|ExpiredToken|InvalidClientTokenId",
        "keeps artifacts in S3, which does not know this user",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `aws configure`",
    ),
    _Pattern(
        Cause.FORBIDDEN,
        r"AccessDenied|Access Denied|\(403\)",
        "keeps artifacts in S3, which refuses this user",
        "ask for the rights s3:GetObject and s3:ListBucket, and s3:PutObject to write",
    ),
    _Pattern(
        Cause.FORBIDDEN,
        r"PERMISSION_DENIED|CUSTOMER_UNAUTHORIZED|error code 403|403 Client Error",
        "lets this user not do this",
        "ask for the permission EDIT on the experiment and on the registered model and its history (READ is enough "
        "for `explain` and `trace`)",
    ),
    _Pattern(
        Cause.GONE,
        r"experiment (\d+) must be in the 'active' state",
        f"has no experiment of that number any more: {NOT_NOTED}",
        lambda found: f"bring it back: `mlflow experiments restore --experiment-id {found[1]}`",
    ),
    _Pattern(
        Cause.GONE,
        r"run (\w+) must be in the 'active' state",
        f"has not this run any more: {NOT_NOTED}",
        lambda found: f"bring it back: `mlflow runs restore --run-id {found[1]}`",
    ),
    _Pattern(
        Cause.GONE,
        r"Model Version \(name=.*, version=\d+\) not found|Registered Model with name=.* not found|"
        r"Run with id=\w+ not found|No Experiment with id=\S+ exists",
        f"does not have it any more: {NOT_NOTED}",
        "restore it from a backup, or move the alias that names it to another version",
    ),
    _Pattern(
        Cause.GONE,
        r'database "?\S+ does not exist|Unknown database',
        "does not have the database",
        "create it (`createdb NAME`), or correct its name in MLFLOW_TRACKING_URI",
    ),
    _Pattern(
        Cause.GONE,
        r"NoSuchBucket|bucket does not exist",
        "keeps artifacts in a bucket that does not exist",
        "make the bucket, or set MLFLOW_S3_ENDPOINT_URL to the S3 that has it",
    ),
    _Pattern(
        Cause.ADDRESS,
        r"unsupported URI|Could not parse SQLAlchemy URL|filesystem tracking backend|InvalidURL|No host supplied|"
        r"Can't load plugin|invalid literal for int|InvalidSchema",
        "is no address of a registry",
        "set MLFLOW_TRACKING_URI to http(s)://SERVER, postgresql://USER@SERVER/DATABASE or sqlite:////PATH/mlflow.db",
    ),
    _Pattern(
        Cause.ADDRESS,
        r"unable to open database file",
        "cannot be opened",
        "check its path in MLFLOW_TRACKING_URI, and that this user may read and write its folder (`ls -ld`)",
    ),
    _Pattern(
        Cause.FAILING,
        r"too many (?:429|5\d\d) error responses|error code 5\d\d|5\d\d Server Error",
        "answers with an error of its own",
        "look at the log of that server, and of a proxy before it",
    ),
    _Pattern(
        Cause.ADDRESS,
        r"not in a valid JSON format|ENDPOINT_NOT_FOUND|error code 40[045]",
        "is a web server, but not MLflow, or a page before it",
        "set MLFLOW_TRACKING_URI to the address of the MLflow server (it answers OK at /health)",
    ),
    _Pattern(
        Cause.UNREACHED,
        r"EndpointConnectionError|endpoint URL",
        "keeps artifacts in an S3 that does not answer",
        "check MLFLOW_S3_ENDPOINT_URL and the network",
    ),
    _Pattern(
        Cause.UNREACHED,
        r"SSLError|CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER|SSL connection",
        "does not speak TLS, or has a certificate that is not trusted",
        "write http:// where there is no TLS, or name your own authority in MLFLOW_TRACKING_SERVER_CERT_PATH",
    ),
    _Pattern(
        Cause.UNREACHED,
        r"NameResolutionError|gaierror|could not translate host name|[Ff]ailed to resolve|Name or service not known",
        "does not answer: no such server is known",
        "check the name of the server in MLFLOW_TRACKING_URI, and the network",
    ),
    _Pattern(Cause.UNREACHED, r"[Tt]imed? ?out|TimeoutError|timeout expired", "does not answer in time", CHECK),
    _Pattern(
        Cause.UNREACHED,
        r"[Cc]onnection|Network is unreachable|No route to host|EndpointConnectionError|Could not connect|"
        r"RemoteDisconnected|terminating|server closed|the database system is|too many clients|IncompleteRead",
        "does not answer",
        CHECK,
    ),
    _Pattern(
        Cause.UNFIT,
        r"value too long|StringDataRightTruncation|Data too long|exceeds the maximum length|cannot contain NUL|"
        r"surrogates not allowed",
        "refused a text that its database cannot hold",
        "this is a fault of Evergreen (pipeline/registry/limits.py): report it",
    ),
)
"""In this order: the first that fits counts. What a server says of its own database comes as text, too."""

UNDERSTOOD = Diagnosis(Cause.UNFIT, "refused", "look into the MLflow UI")
"""What MLflow has an error code for."""
UNKNOWN = Diagnosis(Cause.UNKNOWN, "failed", CHECK)
SILENT = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "BAD_REQUEST")
"""Error codes that say nothing."""


def of(error: BaseException) -> Diagnosis:
    """The fault that an error of MLflow, SQLAlchemy, a driver, requests or boto means."""
    texts = [_text(one) for one in _chain(error)]
    for rule in RULES:
        for text in texts:
            if found := re.search(rule.pattern, text):
                remedy = rule.remedy if isinstance(rule.remedy, str) else rule.remedy(found)
                return Diagnosis(rule.cause, rule.said, remedy)
    return UNDERSTOOD if getattr(error, "error_code", SILENT[0]) not in SILENT else UNKNOWN


def reason(error: BaseException) -> str:
    """What an error says, in one short line: the innermost of those that it is about."""
    texts = [_said(one) for one in _chain(error)]
    *_, last = [text for text in texts if text not in ("", "()")] or [type(error).__name__]
    return last[:300]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it comes from, the innermost last."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if inner is None:
            return
        error = inner


def _text(error: BaseException) -> str:
    return f"{getattr(error, 'error_code', '')} {type(error).__name__}: {_said(error)}"


def _said(error: BaseException) -> str:
    """Without the statement that failed, which holds texts of ours, and without advice that is not for users."""
    return re.split(r" ?\[SQL: | ?\(Background on this error", one_line(error))[0]
