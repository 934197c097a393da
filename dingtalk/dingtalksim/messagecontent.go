package dingtalksim

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"unicode/utf8"
)

// content is a message as people see it.
type content struct {
	kind   string
	title  string
	text   string
	links  []Link
	digest [32]byte // of what was sent: equal ones count as the same content
}

// The bodies of work notifications: snake_case names (reference 8.1).
type workBody struct {
	Type string `json:"msgtype"`
	Text *struct {
		Content string `json:"content"`
	} `json:"text"`
	Markdown *struct {
		Title string `json:"title"`
		Text  string `json:"text"`
	} `json:"markdown"`
	Card *struct {
		Title       string `json:"title"`
		Markdown    string `json:"markdown"`
		SingleTitle string `json:"single_title"`
		SingleURL   string `json:"single_url"`
		Orientation string `json:"btn_orientation"`
		Buttons     []struct {
			Title string `json:"title"`
			URL   string `json:"action_url"`
		} `json:"btn_json_list"`
	} `json:"action_card"`
	Link *struct {
		MessageURL string `json:"messageUrl"`
		PicURL     string `json:"picUrl"`
		Title      string `json:"title"`
		Text       string `json:"text"`
	} `json:"link"`
	OA *struct {
		MessageURL string `json:"message_url"`
		Body       struct {
			Title   string `json:"title"`
			Content string `json:"content"`
			Form    []struct {
				Key   string `json:"key"`
				Value string `json:"value"`
			} `json:"form"`
		} `json:"body"`
	} `json:"oa"`
	Image *media `json:"image"`
	Voice *media `json:"voice"`
	File  *media `json:"file"`
}

type media struct {
	ID string `json:"media_id"`
}

func readWorkContent(raw []byte) (content, error) {
	var b workBody
	if err := exact(raw, &b); err != nil {
		return content{}, errors.New("不是合法的JSON")
	}
	c := content{kind: b.Type, digest: sha256.Sum256(raw)}
	err := b.fill(&c)
	if err != nil {
		return content{}, err
	}
	c.links = append(c.links, linksIn(c.text)...)
	return c, nil
}

// errNoContent is a msgtype whose own member is missing.
var errNoContent = errors.New("缺少msgtype所指的内容")

func (b *workBody) fill(c *content) error {
	read := map[string]func(*content) error{
		"text": b.fillText, "markdown": b.fillMarkdown, "action_card": b.fillCard, "link": b.fillLink, "oa": b.fillOA,
		"image": b.fillMedia, "voice": b.fillMedia, "file": b.fillMedia,
	}[b.Type]
	if read == nil {
		return fmt.Errorf("msgtype %q", b.Type)
	}
	if err := read(c); err != nil {
		return err
	}
	return needs("content", c.text)
}

func (b *workBody) fillText(c *content) error {
	if b.Text == nil {
		return errNoContent
	}
	c.text = b.Text.Content
	return nil
}

func (b *workBody) fillMarkdown(c *content) error {
	if b.Markdown == nil {
		return errNoContent
	}
	c.title, c.text = b.Markdown.Title, b.Markdown.Text
	return needs("markdown.title", c.title)
}

func (b *workBody) fillLink(c *content) error {
	if b.Link == nil {
		return errNoContent
	}
	c.title, c.text = b.Link.Title, b.Link.Text
	c.links = []Link{{b.Link.Title, b.Link.MessageURL}}
	return nil
}

func (b *workBody) fillOA(c *content) error {
	if b.OA == nil {
		return errNoContent
	}
	c.title, c.text = b.OA.Body.Title, cmp.Or(b.OA.Body.Content, b.OA.Body.Title)
	for _, row := range b.OA.Body.Form {
		c.text += "\n" + row.Key + row.Value
	}
	c.links = []Link{{b.OA.Body.Title, b.OA.MessageURL}}
	return nil
}

func (b *workBody) fillMedia(c *content) error {
	if map[string]bool{"image": b.Image == nil, "voice": b.Voice == nil, "file": b.File == nil}[b.Type] {
		return errNoContent
	}
	c.text = "[" + b.Type + "]"
	return nil
}

func (b *workBody) fillCard(c *content) error {
	k := b.Card
	if k == nil {
		return errNoContent
	}
	c.title, c.text = k.Title, k.Markdown
	if err := needs("action_card.title", k.Title, "action_card.markdown", k.Markdown); err != nil {
		return err
	}
	if utf8.RuneCountInString(k.Title) > 20 {
		return errors.New("action_card.title超过20个字符")
	}
	if k.SingleTitle != "" || k.SingleURL != "" {
		c.links = []Link{{k.SingleTitle, k.SingleURL}}
		if len(k.SingleURL) > 500 {
			return errors.New("single_url超过500个字符")
		}
		return needs("single_title", k.SingleTitle, "single_url", k.SingleURL)
	}
	if len(k.Buttons) == 0 || k.Orientation != "0" && k.Orientation != "1" {
		return errors.New("action_card没有按钮")
	}
	for _, button := range k.Buttons {
		if len(button.URL) > 700 {
			return errors.New("action_url超过700个字符")
		}
		if err := needs("title", button.Title, "action_url", button.URL); err != nil {
			return err
		}
		c.links = append(c.links, Link{button.Title, button.URL})
	}
	return nil
}

// needs takes names and values in turn; none may be empty.
func needs(pairs ...string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			return fmt.Errorf("缺少%s", pairs[i])
		}
	}
	return nil
}

// The bodies of robots: camelCase names (reference 8.2).
type robotBody struct {
	Type string `json:"msgtype"`
	UUID string `json:"msgUuid"`
	Text *struct {
		Content string `json:"content"`
	} `json:"text"`
	Markdown *struct {
		Title string `json:"title"`
		Text  string `json:"text"`
	} `json:"markdown"`
	Link *struct {
		MessageURL string `json:"messageUrl"`
		Title      string `json:"title"`
		Text       string `json:"text"`
	} `json:"link"`
	Card *struct {
		Title       string `json:"title"`
		Text        string `json:"text"`
		SingleTitle string `json:"singleTitle"`
		SingleURL   string `json:"singleURL"`
		Buttons     []struct {
			Title string `json:"title"`
			URL   string `json:"actionURL"`
		} `json:"btns"`
	} `json:"actionCard"`
	Feed *struct {
		Links []struct {
			Title string `json:"title"`
			URL   string `json:"messageURL"`
		} `json:"links"`
	} `json:"feedCard"`
	At struct {
		Mobiles []string `json:"atMobiles"`
		Users   []string `json:"atUserIds"`
		All     bool     `json:"isAtAll"`
	} `json:"at"`
}

// refusal is a vendor's number and words.
type refusal struct {
	code int
	text string
}

func readRobotContent(raw []byte) (content, string, *refusal) {
	var b robotBody
	if exact(raw, &b) != nil {
		return content{}, "", &refusal{40035, "不合法的参数 json"}
	}
	c := content{kind: b.Type, digest: sha256.Sum256(raw)}
	bad := b.fill(&c)
	if len(b.At.Mobiles)+len(b.At.Users) > 50 {
		bad = &refusal{40035, "at超过50人"}
	}
	if bad == nil {
		c.links = append(c.links, linksIn(c.text)...)
	}
	return c, b.UUID, bad
}

func (b *robotBody) fill(c *content) *refusal {
	read := map[string]func(*content) *refusal{
		"text": b.fillText, "markdown": b.fillMarkdown, "link": b.fillLink, "actionCard": b.fillCard, "feedCard": b.fillFeed,
	}[b.Type]
	if read == nil {
		return &refusal{400105, "unsupported msgtype"}
	}
	if bad := read(c); bad != nil {
		return bad
	}
	if c.text == "" {
		return &refusal{40035, "缺少参数 " + b.Type}
	}
	return nil
}

func (b *robotBody) fillText(c *content) *refusal {
	if b.Text != nil {
		c.text = b.Text.Content
	}
	return nil
}

func (b *robotBody) fillMarkdown(c *content) *refusal {
	if b.Markdown == nil || b.Markdown.Title == "" {
		return &refusal{400402, "缺少参数 markdown title"}
	}
	c.title, c.text = b.Markdown.Title, b.Markdown.Text
	return nil
}

func (b *robotBody) fillLink(c *content) *refusal {
	if b.Link != nil {
		c.title, c.text = b.Link.Title, b.Link.Text
		c.links = []Link{{b.Link.Title, b.Link.MessageURL}}
	}
	return nil
}

func (b *robotBody) fillCard(c *content) *refusal {
	if b.Card == nil {
		return nil
	}
	c.title, c.text = b.Card.Title, b.Card.Text
	if b.Card.SingleURL != "" {
		c.links = []Link{{b.Card.SingleTitle, b.Card.SingleURL}}
	}
	for _, button := range b.Card.Buttons {
		if button.Title == "" || button.URL == "" {
			return &refusal{40035, "缺少参数 btns"}
		}
		c.links = append(c.links, Link{button.Title, button.URL})
	}
	if c.title == "" || len(c.links) == 0 {
		return &refusal{40035, "缺少参数 actionCard"}
	}
	return nil
}

func (b *robotBody) fillFeed(c *content) *refusal {
	if b.Feed == nil {
		return nil
	}
	for _, link := range b.Feed.Links {
		c.links = append(c.links, Link{link.Title, link.URL})
		c.text += link.Title + "\n"
	}
	return nil
}

var markdownLink = regexp.MustCompile(`!?\[([^\]\n]*)\]\(([^()\s]+)\)`)

// linksIn are the links of a Markdown text; pictures are none.
func linksIn(text string) []Link {
	var list []Link
	for _, m := range markdownLink.FindAllStringSubmatch(text, -1) {
		if u, err := url.Parse(m[2]); err == nil && u.Scheme != "" && m[0][0] != '!' {
			list = append(list, Link{m[1], m[2]})
		}
	}
	return list
}
