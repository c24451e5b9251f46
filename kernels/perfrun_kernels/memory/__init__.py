"""The memory program: a pipeline of concurrent batches whose memory is watched for as long as one likes."""
