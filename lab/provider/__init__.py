"""A stand-in for Pulumi's `aws` provider: the same types and properties over boto3.

It speaks to the lab's emulator only. A type, property or function that is not in its tables is an
error that names it, never a silent success.
"""
