// Go's x/crypto/ssh as a peer of the interoperability table: `client` or `server`, then name=value
// words.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

var words = map[string]string{}

// halves is a stream whose writing half can be ended alone.
type halves interface {
	io.ReadWriteCloser
	CloseWrite() error
}

func main() {
	for _, word := range os.Args[2:] {
		name, value, _ := strings.Cut(word, "=")
		words[name] = value
	}
	run := connect
	if os.Args[1] == "server" {
		run = serve
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func settings() ssh.Config {
	var config ssh.Config
	if text, found := words["rekey"]; found {
		config.RekeyThreshold, _ = strconv.ParseUint(text, 10, 64)
	}
	return config
}

func pump(one, other halves) {
	var both sync.WaitGroup
	both.Add(2)
	copyHalf := func(to, from halves) {
		defer both.Done()
		io.Copy(to, from)
		to.CloseWrite()
	}
	go copyHalf(one, other)
	go copyHalf(other, one)
	both.Wait()
	one.Close()
	other.Close()
}

func dial(address string) (halves, error) {
	stream, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return stream.(*net.TCPConn), nil
}

func publicKey(path string) (ssh.PublicKey, error) {
	line, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(line)
	return key, err
}

// signer is the key of a file, in its certificate if there is to be one.
func signer(path, certificate string) (ssh.Signer, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(file)
	if err != nil || certificate == "" {
		return key, err
	}
	public, err := publicKey(certificate)
	if err != nil {
		return nil, err
	}
	return ssh.NewCertSigner(public.(*ssh.Certificate), key)
}

func same(one, other ssh.PublicKey) bool {
	return bytes.Equal(one.Marshal(), other.Marshal())
}

func connect() error {
	authority, err := publicKey(words["authority"])
	if err != nil {
		return err
	}
	hostKey, err := publicKey(words["host_key"])
	if err != nil {
		return err
	}
	var method ssh.AuthMethod
	switch words["login"] {
	case "password":
		method = ssh.Password(words["password"])
	case "keyboard-interactive":
		method = ssh.KeyboardInteractive(
			func(_, _ string, questions []string, _ []bool) ([]string, error) {
				answers := make([]string, len(questions))
				for i := range answers {
					answers[i] = words["password"]
				}
				return answers, nil
			})
	default:
		key, err := signer(words["key"], words["certificate"])
		if err != nil {
			return err
		}
		method = ssh.PublicKeys(key)
	}
	checker := ssh.CertChecker{
		IsHostAuthority: func(key ssh.PublicKey, _ string) bool { return same(key, authority) },
		HostKeyFallback: ssh.FixedHostKey(hostKey),
	}
	client, err := ssh.Dial("tcp", "127.0.0.1:"+words["port"], &ssh.ClientConfig{
		Config:          settings(),
		User:            words["user"],
		Auth:            []ssh.AuthMethod{method},
		HostKeyCallback: checker.CheckHostKey,
	})
	if err != nil {
		return err
	}
	stream, err := client.Dial("tcp", "interop.test:7")
	if err != nil {
		return err
	}
	service, err := dial("127.0.0.1:" + words["service"])
	if err != nil {
		return err
	}
	pump(stream.(halves), service)
	// What is written during a key exchange is queued, and closing here would throw it away.
	client.Wait()
	return nil
}

func serve() error {
	config := &ssh.ServerConfig{Config: settings()}
	authorized, err := os.ReadFile(filepath.Join(words["folder"], "authorized_keys"))
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for len(authorized) > 0 {
		key, _, options, rest, err := ssh.ParseAuthorizedKey(authorized)
		if err != nil {
			break
		}
		if len(options) == 0 {
			known[string(key.Marshal())] = true
		}
		authorized = rest
	}
	authority, err := publicKey(words["authority"])
	if err != nil {
		return err
	}
	checker := ssh.CertChecker{
		IsUserAuthority: func(key ssh.PublicKey) bool { return same(key, authority) },
		UserKeyFallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if known[string(key.Marshal())] {
				return nil, nil
			}
			return nil, errors.New("unknown key")
		},
	}
	config.PublicKeyCallback = checker.Authenticate
	check := func(password string) (*ssh.Permissions, error) {
		if password == words["password"] {
			return nil, nil
		}
		return nil, errors.New("wrong password")
	}
	config.PasswordCallback = func(_ ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
		return check(string(given))
	}
	config.KeyboardInteractiveCallback = func(
		_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge,
	) (*ssh.Permissions, error) {
		answers, err := ask("", "", []string{"Password: "}, []bool{false})
		if err != nil || len(answers) != 1 {
			return nil, errors.New("no answer")
		}
		return check(answers[0])
	}
	for _, name := range []string{"ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa"} {
		path := filepath.Join(words["folder"], "host-"+name)
		for _, certificate := range []string{"", path + "-cert.pub"} {
			key, err := signer(path, certificate)
			if err != nil {
				return err
			}
			config.AddHostKey(key)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("listening", listener.Addr().(*net.TCPAddr).Port)
	for {
		stream, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			if err := attend(stream, config); err != nil {
				log.Print(err)
			}
		}()
	}
}

func attend(stream net.Conn, config *ssh.ServerConfig) error {
	connection, channels, requests, err := ssh.NewServerConn(stream, config)
	if err != nil {
		return err
	}
	go answer(connection, requests)
	for asked := range channels {
		if asked.ChannelType() != "direct-tcpip" {
			asked.Reject(ssh.UnknownChannelType, "streams only")
			continue
		}
		var target struct {
			Host       string
			Port       uint32
			OriginHost string
			OriginPort uint32
		}
		if err := ssh.Unmarshal(asked.ExtraData(), &target); err != nil {
			return err
		}
		go func(asked ssh.NewChannel) {
			service, err := dial(fmt.Sprintf("%s:%d", target.Host, target.Port))
			if err != nil {
				asked.Reject(ssh.ConnectionFailed, err.Error())
				return
			}
			channel, requests, err := asked.Accept()
			if err != nil {
				return
			}
			go ssh.DiscardRequests(requests)
			pump(channel, service)
		}(asked)
	}
	return nil
}

// answer listens for who asks.
func answer(connection ssh.Conn, requests <-chan *ssh.Request) {
	for request := range requests {
		var bind struct {
			Host string
			Port uint32
		}
		if request.Type != "tcpip-forward" || ssh.Unmarshal(request.Payload, &bind) != nil {
			request.Reply(false, nil)
			continue
		}
		listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", bind.Host, bind.Port))
		if err != nil {
			request.Reply(false, nil)
			continue
		}
		port := uint32(listener.Addr().(*net.TCPAddr).Port)
		request.Reply(true, ssh.Marshal(struct{ Port uint32 }{port}))
		go func() {
			for {
				visitor, err := listener.Accept()
				if err != nil {
					return
				}
				channel, requests, err := connection.OpenChannel("forwarded-tcpip", ssh.Marshal(struct {
					Host       string
					Port       uint32
					OriginHost string
					OriginPort uint32
				}{bind.Host, port, "127.0.0.1", 1}))
				if err != nil {
					return
				}
				go ssh.DiscardRequests(requests)
				go pump(channel, visitor.(*net.TCPConn))
			}
		}()
	}
}
