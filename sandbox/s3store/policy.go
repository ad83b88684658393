package main

// document is a policy in the language of AWS, which other stores speak too:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-policy-language-overview.html.
type document struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect    string
	Principal string `json:",omitempty"` // whom a bucket's policy is about; one that a key has itself names nobody
	Action    []string
	Resource  []string
}

// policyOf lets the writer add objects below the prefix and delete locks, and the reader read. What is written over
// or deleted stays as a version, which neither of them may touch.
func policyOf(bucket, prefix, writer, reader string) document {
	whole := "arn:aws:s3:::" + bucket
	below := whole + "/" + prefix + "/"
	looks := []string{"s3:GetBucketLocation", "s3:ListBucket"}
	return document{Version: "2012-10-17", Statement: []statement{
		{"Allow", writer, looks, []string{whole}},
		{"Allow", writer, []string{"s3:GetObject", "s3:PutObject"}, []string{below + "*"}},
		{"Allow", writer, []string{"s3:DeleteObject"}, []string{below + "locks/*"}},
		{"Allow", reader, looks, []string{whole}},
		{"Allow", reader, []string{"s3:GetObject"}, []string{below + "*"}},
	}}
}

// statePolicy lets the operator keep states in the bucket. Old versions stay, and the operator may read them.
func statePolicy(bucket, operator string) document {
	whole := "arn:aws:s3:::" + bucket
	return document{Version: "2012-10-17", Statement: []statement{
		{"Allow", operator, []string{"s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketVersions"}, []string{whole}},
		{"Allow", operator, []string{
			"s3:GetObject", "s3:GetObjectVersion", "s3:PutObject",
			"s3:DeleteObject",
		}, []string{whole + "/*"}},
	}}
}
