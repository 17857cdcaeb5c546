"""`lakehouse reconcile`: proves at pinned versions that silver, rejected and gold follow from bronze."""
