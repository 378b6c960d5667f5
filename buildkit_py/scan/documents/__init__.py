"""What a scan found in the forms that other programs read: JSON, SARIF, CycloneDX, SPDX."""
