package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// pageFlags say which part of a list is shown.
type pageFlags struct {
	After string `help:"Goes on where a list ended at its limit; it says with what." placeholder:"PLACE"`
	Limit int    `help:"How many at most." default:"50"`
}

// perPage is how much one request asks for: the most that the API gives.
const perPage = 200

// pages asks for one page after another of a list that says where the next begins,
// which the next request has as the parameter after, until there are as many entries
// as are wanted. If that is not all, it says how to go on.
func (f clientFlags) pages(ctx context.Context, io stdio, path, name string, query url.Values, part pageFlags, each func(json.RawMessage) error) error {
	if part.Limit < 1 {
		return fmt.Errorf("--limit must be 1 or more, not %d", part.Limit)
	}
	next := part.After
	for left := part.Limit; left > 0; {
		if next != "" {
			query.Set("after", next)
		}
		query.Set("limit", strconv.Itoa(min(left, perPage)))
		answer, err := f.call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, nil)
		if err != nil {
			return noPlace(err, part.After)
		}
		var all []json.RawMessage
		if all, next, err = readPage(answer, name); err != nil {
			return fmt.Errorf("the server's answer is no list of %s: %w", name, err)
		}
		for _, one := range all {
			if err := each(one); err != nil {
				return err
			}
		}
		left -= len(all)
		if next == "" {
			return nil
		}
	}
	fmt.Fprintf(io.err, "millrace: there may be more: go on with --after %s, or set a larger --limit\n", shellWord(next))
	return nil
}

// noPlace is err, in words of the flag if that is what is wrong.
func noPlace(err error, after string) error {
	var refused *problem
	if !errors.As(err, &refused) || len(refused.Errors) != 1 || refused.Errors[0].Location != "query.after" {
		return err
	}
	return fmt.Errorf("--after %s is no place in this list: take what it said when it ended at its limit, with the other flags as they were", shellWord(after))
}

func readPage(answer []byte, name string) (all []json.RawMessage, next string, err error) {
	var page map[string]json.RawMessage
	if err = json.Unmarshal(answer, &page); err == nil {
		err = json.Unmarshal(page[name], &all)
	}
	if where := page["next_cursor"]; err == nil && where != nil {
		err = json.Unmarshal(where, &next)
	}
	return all, next, err
}

// shellWord is text as one types it in a shell.
func shellWord(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.:/=+@%", r)
	}
	if text != "" && strings.TrimFunc(text, plain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(shown(text, len(text)), "'", `'\''`) + "'"
}
