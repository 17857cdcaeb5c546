"""What an account has once in a Region: Lake Formation's administrators and defaults, and the Glue catalog's key."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.estate import Estate
from infra.keys import Keys


@dataclass(frozen=True)
class AccountSettingsArgs:
    """Whose account it is, and the key of its catalog."""

    estate: Estate
    keys: Keys


class AccountSettings(pulumi.ComponentResource):
    """Administrators of Lake Formation, nothing for everybody on new databases and tables, and an encrypted catalog.

    Databases and tables come after these: AWS encrypts what is made from then on, and what is made before is open to
    `IAMAllowedPrincipals`. They replace what the account had, so one stack of an account and Region makes them; any
    other is configured with that one's `catalog_key`. They stay with the data that they protect. Costs nothing.
    """

    def __init__(self, name: str, args: AccountSettingsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:AccountSettings", name, None, opts)
        self._name, self._estate = name, args.estate
        # Nothing to import where an earlier stack left them: there is always exactly one of each, and it is set.
        self._kept = pulumi.ResourceOptions(parent=self, retain_on_delete=not self._estate.config.data_may_go)
        self.made: list[pulumi.Resource] = []
        if self._estate.config.catalog_key is None:
            self.made = [self._encryption(args.keys.arn("catalog")), *self._lake_formation()]
        self.register_outputs({})

    def _encryption(self, key: pulumi.Output[str]) -> pulumi.Resource:
        at_rest = aws.glue.DataCatalogEncryptionSettingsDataCatalogEncryptionSettingsEncryptionAtRestArgs(
            catalog_encryption_mode="SSE-KMS", sse_aws_kms_key_id=key
        )
        passwords = aws.glue.DataCatalogEncryptionSettingsDataCatalogEncryptionSettingsConnectionPasswordEncryptionArgs(
            return_connection_password_encrypted=True, aws_kms_key_id=key
        )
        return aws.glue.DataCatalogEncryptionSettings(
            self._name,
            data_catalog_encryption_settings=(
                aws.glue.DataCatalogEncryptionSettingsDataCatalogEncryptionSettingsArgs(
                    encryption_at_rest=at_rest, connection_password_encryption=passwords
                )
            ),
            opts=self._kept,
        )

    def _lake_formation(self) -> list[pulumi.Resource]:
        """Administrators, no permissions for everybody on what is made from now on, and the groups of IAM Identity
        Center where the configuration names an instance.
        """
        settings = aws.lakeformation.DataLakeSettings(
            self._name,
            admins=self._administrators(),
            create_database_default_permissions=[],
            create_table_default_permissions=[],
            opts=self._kept,
        )
        instance = self._estate.config.identity_center
        if instance is None:
            return [settings]
        after = pulumi.ResourceOptions(parent=self, depends_on=[settings])
        people = aws.lakeformation.IdentityCenterConfiguration(self._name, instance_arn=instance, opts=after)
        return [settings, people]

    def _administrators(self) -> list[pulumi.Input[str]]:
        """Those of the configuration; without any whoever runs this, else nobody could grant what follows."""
        named: list[pulumi.Input[str]] = [*self._estate.config.administrators]
        if named:
            return named
        return [aws.iam.get_session_context_output(arn=aws.get_caller_identity_output().arn).issuer_arn]
