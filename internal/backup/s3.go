package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// A bucket is a target in a service that speaks S3. Where it is and who asks is said by the variables that everybody
// knows: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY (also as AWS_SECRET_ACCESS_KEY_FILE),
// AWS_SESSION_TOKEN. Without keys, the file of AWS's own tools and the role of the machine are asked.
type bucket struct {
	client       *minio.Client
	name, prefix string // the prefix without slashes around it
	host         string
}

func openBucket(address string, getenv func(string) string) (*bucket, error) {
	rest := strings.Trim(strings.TrimPrefix(address, "s3://"), "/")
	name, prefix, _ := strings.Cut(rest, "/")
	if name == "" {
		return nil, errors.New("s3:// names no bucket: want s3://BUCKET/PREFIX")
	}
	if strings.Contains(name, "@") || strings.Contains(name, ":") {
		return nil, errors.New("keys and hosts don't belong into s3://BUCKET/PREFIX: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL")
	}
	first := func(names ...string) string {
		for _, n := range names {
			if v := getenv(n); v != "" {
				return v
			}
		}
		return ""
	}
	region := first("AWS_REGION", "AWS_DEFAULT_REGION")
	if region == "" {
		region = "us-east-1"
	}
	host, secure := "s3."+region+".amazonaws.com", true
	if at := first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"); at != "" {
		u, err := url.Parse(at)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" || u.User != nil {
			return nil, errors.New("AWS_ENDPOINT_URL is no address of a server: want one such as https://s3.example.com")
		}
		host, secure = u.Host, u.Scheme == "https"
	}
	secret := getenv("AWS_SECRET_ACCESS_KEY")
	if file := getenv("AWS_SECRET_ACCESS_KEY_FILE"); secret == "" && file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("AWS_SECRET_ACCESS_KEY_FILE: read %s: %w", file, bare(err))
		}
		secret = strings.TrimSpace(string(text))
	}
	id := getenv("AWS_ACCESS_KEY_ID")
	if (id == "") != (secret == "") {
		return nil, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together: one of them is not set")
	}
	who := credentials.NewStaticV4(id, secret, getenv("AWS_SESSION_TOKEN"))
	if id == "" {
		who = credentials.NewChainCredentials([]credentials.Provider{&credentials.FileAWSCredentials{}, &credentials.IAM{}})
	}
	client, err := minio.New(host, &minio.Options{Creds: who, Secure: secure, Region: region, MaxRetries: 3})
	if err != nil {
		return nil, fmt.Errorf("use S3 at %s: %w", host, err)
	}
	return &bucket{client, name, prefix, host}, nil
}

func (b *bucket) key(name string) string {
	if b.prefix == "" {
		return name
	}
	return b.prefix + "/" + name
}

func (b *bucket) Address(name string) string { return "s3://" + b.name + "/" + b.key(name) }

// Prepare asks for the bucket, so that a backup is not made in vain.
func (b *bucket) Prepare(ctx context.Context) (string, error) {
	first, enough := context.WithCancel(ctx) // else it would list on
	defer enough()
	if o, ok := <-b.client.ListObjects(first, b.name, minio.ListObjectsOptions{Prefix: b.key(prefix), MaxKeys: 1}); ok && o.Err != nil {
		return "", b.plain("use", o.Err)
	}
	return os.TempDir(), nil
}

// Has asks for the object.
func (b *bucket) Has(ctx context.Context, name string) (bool, error) {
	_, err := b.client.StatObject(ctx, b.name, b.key(name), minio.StatObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return false, nil
	}
	if err != nil {
		return false, b.plain("look at what is in", err)
	}
	return true, nil
}

// Put uploads a file. The server checks each part by its MD5 as it comes in, and is asked afterwards what it has.
func (b *bucket) Put(ctx context.Context, name, path, sum string) error {
	line := sumLine(name, sum)
	_, err := b.client.PutObject(ctx, b.name, b.key(name+sumTail), strings.NewReader(line), int64(len(line)),
		minio.PutObjectOptions{ContentType: "text/plain", SendContentMd5: true})
	if err != nil {
		return b.plain("upload to", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return bare(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return bare(err)
	}
	_, err = b.client.PutObject(ctx, b.name, b.key(name), f, info.Size(), minio.PutObjectOptions{
		ContentType: "application/octet-stream", SendContentMd5: true, UserMetadata: map[string]string{"sha256": sum},
	})
	if err != nil {
		return b.plain("upload to", err)
	}
	there, err := b.client.StatObject(ctx, b.name, b.key(name), minio.StatObjectOptions{})
	switch {
	case err != nil:
		return b.plain("look at what was uploaded to", err)
	case there.Size != info.Size():
		return fmt.Errorf("%s has %d bytes, and %d were uploaded", b.Address(name), there.Size, info.Size())
	}
	return nil
}

func (b *bucket) List(ctx context.Context) ([]Entry, error) {
	sums := map[string]bool{}
	var out []Entry
	for o := range b.client.ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: b.key(prefix)}) {
		if o.Err != nil {
			return nil, b.plain("list", o.Err)
		}
		name := strings.TrimPrefix(o.Key, b.key(""))
		if of, ok := strings.CutSuffix(name, sumTail); ok {
			sums[of] = true
		}
		if at, ok := when(name); ok {
			out = append(out, Entry{Name: name, Address: b.Address(name), TakenAt: at, Bytes: o.Size})
		}
	}
	for i := range out {
		out[i].Sum = sums[out[i].Name]
	}
	newestFirst(out)
	return out, nil
}

// Fetch brings an object here; done removes it again.
func (b *bucket) Fetch(ctx context.Context, name string) (path, sum string, done func(), err error) {
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return "", "", nil, room(os.TempDir(), err)
	}
	done = func() { _ = os.RemoveAll(dir) }
	path = filepath.Join(dir, filepath.Base(name))
	if err := b.get(ctx, name, path); err != nil {
		done()
		return "", "", nil, err
	}
	err = b.get(ctx, name+sumTail, path+sumTail)
	var none *noSuchKey
	if errors.As(err, &none) {
		return path, "", done, nil
	}
	if err == nil {
		var text []byte
		if text, err = os.ReadFile(path + sumTail); err == nil {
			sum, err = readSum(string(text))
		}
	}
	if err != nil {
		done()
		return "", "", nil, fmt.Errorf("%s: %w", b.Address(name+sumTail), err)
	}
	return path, sum, done, nil
}

func (b *bucket) get(ctx context.Context, name, path string) error {
	o, err := b.client.GetObject(ctx, b.name, b.key(name), minio.GetObjectOptions{})
	if err != nil {
		return b.plain("download from", err)
	}
	defer o.Close()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return room(filepath.Dir(path), err)
	}
	_, err = io.Copy(f, o)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		return nil
	}
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return &noSuchKey{b.Address(name)}
	}
	return room(filepath.Dir(path), b.plain("download from", err))
}

// noSuchKey is an object that is not there.
type noSuchKey struct{ address string }

func (e *noSuchKey) Error() string { return "there is no backup " + e.address }

func (b *bucket) Remove(ctx context.Context, name string) error {
	for _, n := range []string{name, name + sumTail} {
		if err := b.client.RemoveObject(ctx, b.name, b.key(n), minio.RemoveObjectOptions{}); err != nil {
			return b.plain("remove a backup from", err)
		}
	}
	return nil
}

// plain says what S3 answered in words that lead to a repair.
func (b *bucket) plain(what string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	where := fmt.Sprintf("%s s3://%s at %s", what, b.name, b.host)
	var op *net.OpError
	var dns *net.DNSError
	switch r := minio.ToErrorResponse(err); {
	case r.Code == minio.NoSuchBucket:
		return fmt.Errorf("%s: there is no such bucket; make it first", where)
	case r.Code == minio.InvalidAccessKeyID, r.Code == minio.SignatureDoesNotMatch:
		return fmt.Errorf("%s: the keys are not accepted; look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", where)
	case r.Code == minio.AccessDenied:
		return fmt.Errorf("%s: the keys may not do that; they need to list, put, get and delete objects there", where)
	case r.StatusCode == http.StatusInsufficientStorage || r.Code == "XMinioStorageFull" || r.Code == "QuotaExceeded":
		return fmt.Errorf("%s: there is no room left", where)
	case errors.As(err, &dns):
		return fmt.Errorf("%s: there is no such host; look at AWS_ENDPOINT_URL", where)
	case errors.As(err, &op):
		return fmt.Errorf("%s: it can't be reached: %w", where, op.Err)
	}
	return fmt.Errorf("%s: %w", where, err)
}
