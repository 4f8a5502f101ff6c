"""The schema: from nothing to head, down and up again, and the job queue's part of it."""

import re
from importlib.resources import files

import psycopg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from flask_migrate import check, downgrade, upgrade
from sqlalchemy import CheckConstraint, create_engine, text

import sandbox.demo.postgres
from migrations import procrastinate_schema
from payflow import create_app
from payflow.db import db
from sandbox.demo.postgres import OLDEST, Postgres, candidate_folders, major_version
from tests.stack import settings_of

HERE = [
    folder
    for folder in candidate_folders()
    if (folder / "initdb").exists() and int(major_version(folder) or 0) >= OLDEST
]

DROPPED = "procrastinate_jobs_notify_queue_job_inserted_v1"

# What a schema is made of, each thing as a row of texts. Columns go by name, since those that were
# added later stand last; in a type that is passed around, their order matters.
CATALOG = {
    "tables": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
    "columns": """
        SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = 'public'""",
    "attributes of types": """
        SELECT relname, attname, attnum::text, format_type(atttypid, atttypmod) FROM pg_attribute
        JOIN pg_class ON pg_class.oid = attrelid
        WHERE relkind = 'c' AND relnamespace = 'public'::regnamespace""",
    "values of types": """
        SELECT typname, enumlabel, (row_number() OVER (PARTITION BY typname
        ORDER BY enumsortorder))::text
        FROM pg_enum JOIN pg_type ON pg_type.oid = enumtypid""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype <> 'n'""",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "functions": """
        SELECT oid::regprocedure::text, pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace""",
    "triggers": """
        SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal""",
}


@pytest.fixture
def database(postgres):
    """Make an empty database and answer its address."""
    made = []

    def create():
        made.append(f"schema_{len(made)}")
        postgres.create_database(made[-1])
        return postgres.url(made[-1])

    yield create
    for name in made:
        postgres.drop_database(name)


@pytest.fixture
def in_app(database, installed):
    """The application on an empty database, and that database's address."""
    url = database()
    app = installed(DATABASE_URL=url)
    with app.app_context():
        yield url
        db.session.remove()


def catalog(url):
    with psycopg.connect(url) as connection:
        return {
            name: {tidy(row) for row in connection.execute(query)}
            for name, query in CATALOG.items()
        }


def tidy(row):
    """Two writings of one thing differ in blanks, and in the case of keywords."""
    return tuple(re.sub(r"\s+", " ", str(value)).strip() for value in row)


def of_the_queue(schema):
    return {
        name: {row for row in rows if row[0].startswith("procrastinate_")}
        for name, rows in schema.items()
    }


def install_package_schema(url):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(files("procrastinate.sql").joinpath("schema.sql").read_text())


def migrate_queue(url, *hops):
    """Apply the package's steps as our migrations do, from version to version."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    for after, up_to in hops:
        with (
            engine.begin() as connection,
            Operations.context(MigrationContext.configure(connection)),
        ):
            procrastinate_schema.upgrade(after=after, up_to=up_to)
    engine.dispose()


# --- ours ------------------------------------------------------------------------------------


def test_from_nothing_to_head_makes_what_the_models_say(in_app):
    upgrade()
    tables = {row[0] for row in catalog(in_app)["tables"]}
    assert set(db.metadata.tables) <= tables
    check()  # exits where models and migrations disagree


def test_the_checks_are_those_of_the_models(in_app):
    """Alembic compares no checks: names here, and what they say by the tests that run into them."""
    upgrade()
    named = {
        constraint.name
        for table in db.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    found = {row[1] for row in catalog(in_app)["constraints"] if row[1].startswith("ck_")}
    assert found == named


def test_one_step_down_and_up_again_ends_the_same(in_app):
    upgrade()
    before = catalog(in_app)
    downgrade(revision="-1")
    assert catalog(in_app) != before
    upgrade()
    assert catalog(in_app) == before


def test_all_the_way_down_leaves_nothing_and_up_again_ends_the_same(in_app):
    upgrade()
    before = catalog(in_app)
    downgrade(revision="base")
    left = catalog(in_app)
    assert {row[0] for row in left["tables"]} == {"alembic_version"}
    assert left["functions"] == left["values of types"] == left["triggers"] == set()
    upgrade()
    assert catalog(in_app) == before


def test_an_upgrade_of_what_is_at_head_changes_nothing(in_app):
    upgrade()
    before = catalog(in_app)
    upgrade()
    assert catalog(in_app) == before


# --- the job queue's -------------------------------------------------------------------------


def test_the_queues_tables_are_the_packages_own_but_for_one_trigger(in_app, database):
    upgrade()
    theirs = database()
    install_package_schema(theirs)
    found, wanted = of_the_queue(catalog(in_app)), of_the_queue(catalog(theirs))
    assert DROPPED in {row[0] for row in wanted["triggers"]}
    wanted["triggers"] = {row for row in wanted["triggers"] if row[0] != DROPPED}
    for name, rows in wanted.items():
        assert found[name] == rows, name


@pytest.mark.parametrize("version", ["2.14.1", "3.0.0", "3.2.0"])
def test_an_upgrade_from_an_older_version_ends_the_same(database, version):
    at_once, in_two_hops, theirs = database(), database(), database()
    migrate_queue(at_once, ("none", "3.10.0"))
    migrate_queue(in_two_hops, ("none", version), (version, "3.10.0"))
    install_package_schema(theirs)
    assert catalog(at_once) == catalog(in_two_hops)
    assert catalog(at_once) == catalog(theirs)


def test_steps_of_versions_go_by_number_and_not_by_letter():
    names = procrastinate_schema.steps(after="0.9.0", up_to="0.11.0")
    assert names
    assert all(re.match(r"00\.(10|11)\.", name) for name in names)
    assert procrastinate_schema.steps(after="3.10.0", up_to="3.10.0") == []


@pytest.mark.parametrize("version", [*dict.fromkeys(filter(None, map(major_version, HERE)))])
def test_the_migrations_run_on_every_postgres_that_is_here(
    version, monkeypatch, tmp_path, variables
):
    """Older ones are stricter: before 17 a new enum value is of use only once it is committed."""
    of_version = [folder for folder in HERE if major_version(folder) == version]
    monkeypatch.setattr(sandbox.demo.postgres, "candidate_folders", lambda: iter(of_version))
    with Postgres(tmp_path, durable=False) as server:
        server.create_database("payflow")
        there = create_app(settings_of(variables | {"DATABASE_URL": server.url("payflow")}))
        with there.app_context():
            upgrade()
            check()
            found = db.session.scalar(text("SHOW server_version_num"))
            db.session.remove()
            db.engine.dispose()
    assert found.startswith(version)
