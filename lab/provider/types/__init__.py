"""Resource types, one module for each area of the AWS API."""
