// Reads and scales a deployment through kube-resource-api, with the standard library alone.
//
//	go run consumer.go poll [SECONDS]   prints the count whenever a poll finds another one
//	go run consumer.go wait             prints each count, as soon as it changes
//	go run consumer.go stream           prints all counts of the namespace after each change
//	go run consumer.go add N            adds N replicas
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	countsPath = "/namespaces/personal/deployments/ANY/replica_count"
	countPath  = "/namespaces/personal/deployments/nginx/replica_count"

	// The service sends at least a comment every 15 seconds.
	longestSilence = 45 * time.Second
)

type count struct {
	ReplicaCount int `json:"replica_count"`
}

type counts struct {
	Deployments []change `json:"deployments"`
}

type change struct {
	Deployment   string `json:"deployment"`
	ReplicaCount int    `json:"replica_count"`
	Deleted      bool   `json:"deleted"`
}

// problem is a response that is no success (application/problem+json).
type problem struct {
	Status  int    `json:"status"`
	Code    string `json:"code"`
	Detail  string `json:"detail"`
	Current *int   `json:"current"` // Of a 412.
}

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

// transient reports whether a retry may help. Of other errors the caller, its certificate or its permissions are the
// cause.
func (p *problem) transient() bool {
	return p.Status == http.StatusRequestTimeout || p.Status == http.StatusTooManyRequests || p.Status >= 500
}

func problemOf(status int, body []byte) *problem {
	p := &problem{}
	// A proxy may answer with something else than JSON.
	_ = json.Unmarshal(body, p)
	p.Status = status
	return p
}

type client struct {
	url  string
	http *http.Client
}

func newClient() (*client, error) {
	certs := env("CERTS", ".dev/pki")
	certificate, err := tls.LoadX509KeyPair(certs+"/admin.crt", certs+"/admin.key")
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(certs + "/ca.crt")
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		MinVersion:   tls.VersionTLS13,
		RootCAs:      roots,
		Certificates: []tls.Certificate{certificate},
	}}
	return &client{url: env("SERVICE_URL", "https://localhost:8443"), http: &http.Client{Transport: transport}}, nil
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// backOff pauses exponentially, with jitter, and at least as long as the service asks for.
func backOff(attempt int, first float64, atLeast time.Duration) {
	seconds := math.Min(30, first*math.Pow(2, float64(attempt))) * (0.5 + rand.Float64()/2)
	time.Sleep(max(time.Duration(seconds*float64(time.Second)), atLeast))
}

func max(a, b time.Duration) time.Duration {
	if a > b {
		return a
	}
	return b
}

func retryAfter(header http.Header) time.Duration {
	seconds, _ := strconv.Atoi(header.Get("Retry-After"))
	return time.Duration(seconds) * time.Second
}

func (c *client) open(ctx context.Context, method, path string, headers map[string]string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, nil)
	if err != nil {
		return nil, err
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	return c.http.Do(request)
}

func (c *client) send(method, path string, headers map[string]string, timeout time.Duration) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	response, err := c.open(ctx, method, path, headers)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, body, err
}

// read sends a GET until the service answers it: a read changes nothing.
func (c *client) read(path string, headers map[string]string, wait time.Duration) (*http.Response, []byte, error) {
	for attempt := 0; ; attempt++ {
		var pause time.Duration
		response, body, err := c.send(http.MethodGet, path, headers, wait+10*time.Second)
		if err != nil {
			log.Print("retry: ", err)
		} else if response.StatusCode == http.StatusOK || response.StatusCode == http.StatusNotModified {
			return response, body, nil
		} else if p := problemOf(response.StatusCode, body); !p.transient() {
			return nil, nil, p
		} else {
			pause = retryAfter(response.Header)
		}
		backOff(attempt, 0.5, pause)
	}
}

// poll calls show with the count at first, and whenever a poll finds another one.
func (c *client) poll(interval time.Duration, show func(int)) error {
	headers := map[string]string{}
	for {
		response, body, err := c.read(countPath, headers, 0)
		if err != nil {
			return err
		}
		if response.StatusCode == http.StatusOK {
			headers["If-None-Match"] = response.Header.Get("ETag")
			var found count
			if err := json.Unmarshal(body, &found); err != nil {
				return err
			}
			show(found.ReplicaCount)
		}
		time.Sleep(interval)
	}
}

// wait calls show with the count at first, and each time it has changed.
func (c *client) wait(seconds int, show func(int)) error {
	most := time.Duration(seconds) * time.Second
	headers := map[string]string{"Prefer": fmt.Sprintf("wait=%d", seconds)}
	for {
		asked := time.Now()
		response, body, err := c.read(countPath, headers, most)
		if err != nil {
			return err
		}
		if response.StatusCode == http.StatusOK {
			headers["If-None-Match"] = response.Header.Get("ETag")
			var found count
			if err := json.Unmarshal(body, &found); err != nil {
				return err
			}
			show(found.ReplicaCount)
		} else if time.Since(asked) < most/2 {
			// The instance shuts down, and answers at once.
			backOff(1, 0.5, 0)
		}
	}
}

// event is an event of a stream. A comment is an empty one.
type event struct{ name, id, data, version, retry string }

// events calls each with every event, until the response ends or each returns an error.
func events(body io.Reader, each func(event) error) error {
	reader := bufio.NewReader(body)
	var next event
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			if err := each(next); err != nil {
				return err
			}
			next = event{}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			next.name = value
		case "id":
			next.id = value
		case "data":
			next.data = value
		case "retry":
			next.retry = value
		case "":
			if strings.HasPrefix(value, "version ") {
				next.version = strings.TrimPrefix(value, "version ")
			}
		}
	}
}

// stream calls show with all counts of the namespace, at first and after each change, over as many connections as it
// takes.
func (c *client) stream(show func(map[string]int)) error {
	held := map[string]int{}
	headers := map[string]string{"Accept": "text/event-stream"}
	var pause time.Duration
	for attempt := 0; ; attempt++ {
		err := c.connection(headers, func(next event) error {
			switch {
			case next.retry != "":
				millis, _ := strconv.Atoi(next.retry)
				pause = time.Duration(millis) * time.Millisecond
				return nil
			case next.name == "end":
				return errors.New("stream ended: " + next.data)
			}
			attempt = 0
			switch next.name {
			case "snapshot":
				var snapshot counts
				if err := json.Unmarshal([]byte(next.data), &snapshot); err != nil {
					return err
				}
				held = map[string]int{}
				for _, of := range snapshot.Deployments {
					held[of.Deployment] = of.ReplicaCount
				}
			case "change":
				var changes []change
				if err := json.Unmarshal([]byte(next.data), &changes); err != nil {
					return err
				}
				for _, of := range changes {
					if of.Deleted {
						delete(held, of.Deployment)
					} else {
						held[of.Deployment] = of.ReplicaCount
					}
				}
			default:
				return nil
			}
			headers["Last-Event-ID"] = next.id
			if next.version != "" {
				headers["Last-Event-Version"] = next.version
			}
			show(held)
			return nil
		}, &pause)
		var p *problem
		if errors.As(err, &p) && !p.transient() {
			return p
		}
		log.Print("reconnect: ", err)
		backOff(attempt, 0.5, pause)
	}
}

// connection is one connection of a stream. It always ends with an error.
func (c *client) connection(headers map[string]string, each func(event) error, pause *time.Duration) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watchdog := time.AfterFunc(longestSilence, cancel)
	defer watchdog.Stop()
	response, err := c.open(ctx, http.MethodGet, countsPath, headers)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		*pause = retryAfter(response.Header)
		body, _ := io.ReadAll(response.Body)
		return problemOf(response.StatusCode, body)
	}
	return events(response.Body, func(next event) error {
		watchdog.Reset(longestSilence)
		return each(next)
	})
}

// add adds to the count. A write of others in between is neither lost nor overwritten.
func (c *client) add(more int) (int, error) {
	_, body, err := c.read(countPath, nil, 0)
	if err != nil {
		return 0, err
	}
	var found count
	if err := json.Unmarshal(body, &found); err != nil {
		return 0, err
	}
	current := found.ReplicaCount
	for attempt := 0; ; attempt++ {
		wanted := current + more
		headers := map[string]string{"If-Match": fmt.Sprintf(`"%d"`, current)}
		response, body, err := c.send(http.MethodPut, fmt.Sprintf("%s/%d", countPath, wanted), headers, 20*time.Second)
		if err != nil {
			return 0, err
		}
		p := problemOf(response.StatusCode, body)
		switch {
		case p.Status == http.StatusOK && response.Header.Get("X-Already-Set") == "":
			return wanted, nil
		case p.Status == http.StatusOK:
			// Another has set the same count. This one has added nothing yet.
			current = wanted
		case p.Status == http.StatusPreconditionFailed && p.Current != nil:
			current = *p.Current
		case p.Status != http.StatusTooManyRequests:
			// After 408, 500 and 503 the write may have been carried out. The caller reads the count and decides.
			return 0, p
		}
		if attempt == 9 {
			return 0, p
		}
		backOff(attempt, 0.05, retryAfter(response.Header))
	}
}

func run(command, word string) error {
	c, err := newClient()
	if err != nil {
		return err
	}
	print := func(replicas int) { fmt.Printf("nginx has %d replicas\n", replicas) }
	switch command {
	case "poll":
		seconds, err := strconv.ParseFloat(word, 64)
		if err != nil {
			seconds = 5
		}
		return c.poll(time.Duration(seconds*float64(time.Second)), print)
	case "wait":
		return c.wait(30, print)
	case "stream":
		return c.stream(func(held map[string]int) {
			text, _ := json.Marshal(held)
			fmt.Println(string(text))
		})
	case "add":
		more, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		replicas, err := c.add(more)
		if err == nil {
			print(replicas)
		}
		return err
	}
	return errors.New("usage: consumer poll [SECONDS] | wait | stream | add N")
}

func main() {
	words := append(os.Args[1:], "", "")
	if err := run(words[0], words[1]); err != nil {
		log.Fatal(err)
	}
}
