"""The audit log's owner loses the rights to change it, so that a slip of the hand meets a refusal before a trigger."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

REVOKE = """
DO $$
DECLARE grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END
        FROM pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner))) acl
        WHERE pg_class.oid = 'consent_audit_log'::regclass
    LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON consent_audit_log FROM %s CASCADE', grantee);
    END LOOP;
END $$
"""
"""From everybody who has them, the owner and PUBLIC included. Superusers pass every grant and meet the triggers."""

GIVE_BACK = """
DO $$
BEGIN
    EXECUTE format('GRANT UPDATE, DELETE, TRUNCATE ON consent_audit_log TO %I',
        (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'consent_audit_log'::regclass));
END $$
"""


def upgrade() -> None:
    """Apply. `consent_audit_append` needs INSERT on the log and UPDATE on its head only, which stay."""
    op.execute(REVOKE)


def downgrade() -> None:
    """Take back: the owner may again; the triggers still refuse."""
    op.execute(GIVE_BACK)
