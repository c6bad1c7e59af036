#include "proxy/page_late.h"

#include <stdio.h>
#include <xxhash.h>

#include "base/url.h"

#define PREFIX "/.well-known/dejunk/"
enum { NAME_DIGITS = 32 };

struct span page_late_path(char to[PAGE_LATE_PATH_BYTES], const struct secret *secret,
                           struct span host, const struct page_rules *rules)
{
    uint64_t of_rules = database_generation(page_rules_database(rules));
    struct secret_mark name = secret_mark(secret, "name", host, 0);
    struct secret_mark generation = secret_mark(secret, "generation", host, of_rules);
    int size = snprintf(to, PAGE_LATE_PATH_BYTES, PREFIX "%016llx%016llx/%016llx/",
                        (unsigned long long)name.high, (unsigned long long)name.low,
                        (unsigned long long)generation.high);

    return span_of(to, (size_t)size);
}

bool page_late_may_be(struct span path_and_query)
{
    return span_starts(path_and_query, SPAN(PREFIX));
}

bool page_late_answer(struct page_rules *rules, const struct secret *secret, struct span host,
                      struct span path_and_query, struct buffer *to)
{
    char room[PAGE_LATE_PATH_BYTES];
    struct url_host_text host_room = { 0 };
    struct url_name name;
    struct page_sheet *sheet;
    struct span path, query;
    bool wants_all;

    url_parse_host(&name, &host_room, host);
    host = span_of(name.at, name.size);
    path = page_late_path(room, secret, host, rules);

    if (!span_starts(path_and_query, span_slice(path, 0, sizeof PREFIX + NAME_DIGITS)))
        return false;
    if (!span_starts(path_and_query, path) || path_and_query.size == path.size ||
        path_and_query.at[path.size] != '?')
        return true; // of an older page: nothing to say
    query = span_from(path_and_query, path.size + 1);
    wants_all = span_equal(query, SPAN("g"));
    sheet = page_rules_sheet(rules, host, 0);
    if (sheet && !page_rules_late(rules, sheet, wants_all ? SPAN_NONE : query, wants_all, to))
        to->size = 0;
    page_sheet_unref(&sheet);
    return true;
}

/* What it does, in this order: takes itself and our style out of the page, so that a page that
 * compares its elements with what it expects finds no other, and keeps the style as a sheet of
 * the document; does the same with hidden="-SELECTOR" of elements that come, which it sees before
 * any script behind them runs (the text becomes a selector there and can become nothing else);
 * watches for elements and classes that appear, and asks for the rules of those it has not seen, of
 * the page's own origin whatever its <base> says. An id or class goes out as the 32-bit FNV-1a of
 * "#id" or ".class". What comes back is put in rule by rule, so that one which this browser does
 * not know costs nothing else. A frame that a sandbox gave an origin of its own is not answered by
 * any other (it would have to be let in from everywhere), so it does not ask. */
static const char script[] =
    "(function(d,w,u){\"use strict\";"
    "var c=d.currentScript,p=c&&c.previousSibling,s=null,k=new Set,q=[],t=0,n=0,"
    "f=w.fetch,M=w.MutationObserver;"
    "function a(x){if(!s){s=new CSSStyleSheet;d.adoptedStyleSheets=d.adoptedStyleSheets.concat(s)}"
    "x.split(\"\\n\").forEach(function(r){if(r)try{s.insertRule(r,s.cssRules.length)}catch(e){}})}"
    "try{if(p&&p.nodeName===\"STYLE\"){a(p.textContent);p.remove()}}catch(e){}"
    "if(c)c.remove();if(!f||!M||!w.CSSStyleSheet||w.origin===\"null\")return;"
    "function g(x){f.call(w,u+\"?\"+x,{credentials:\"omit\",referrerPolicy:\"no-referrer\"})"
    ".then(function(r){return "
    "r.ok&&/^text\\/css/.test(r.headers.get(\"content-type\"))?r.text():\"\"})"
    ".then(function(x){if(x)a(x)}).catch(function(){})}"
    "function h(x){var "
    "v=2166136261,i=0;for(;i<x.length;i++)v=Math.imul(v^x.charCodeAt(i),16777619);"
    "return(v>>>0||1).toString(36)}"
    "function m(x){if(!k.has(x)){k.add(x);if(/^[!-~]+$/.test(x))q.push(h(x))}}"
    "function y(x,v){var n;if(!k.has(v)){a(\"\");n=s.cssRules.length;"
    "s.insertRule(\"x-x{display:none!important}\",n);s.cssRules[n].selectorText=v.slice(1);"
    "if(s.cssRules[n].selectorText===\"x-x\"){s.deleteRule(n);return}k.add(v)}"
    "x.removeAttribute(\"hidden\")}"
    "function e(x){var i=x.getAttribute(\"id\"),v=x.getAttribute(\"hidden\"),l=x.classList,j=0;"
    "if(v&&v[0]===\"-\"&&v[1])try{y(x,v)}catch(q){}if(i)m(\"#\"+i);"
    "for(;j<l.length;j++)m(\".\"+l[j])}"
    "function o(){t=0;if(!q.length)return;if(!n++)g(\"g\");"
    "while(q.length)g(q.splice(0,200).join(\".\"))}"
    "new M(function(l){l.forEach(function(r){if(r.type===\"attributes\")e(r.target);"
    "else r.addedNodes.forEach(function(x){if(x.nodeType!==1)return;e(x);"
    "if(x.firstElementChild)x.querySelectorAll(\"[id],[class],[hidden]\").forEach(e)})});"
    "if(q.length&&!t)t=setTimeout(o,n?100:20)})"
    ".observe(d,{childList:true,subtree:true,attributes:true,attributeFilter:[\"id\",\"class\"]})"
    "})(document,window,location.origin+\"";

_Static_assert(sizeof script + PAGE_LATE_PATH_BYTES < 4096, "the script stays small");

bool page_late_script(struct buffer *to, struct span path)
{
    return buffer_append(to, SPAN(script)) && buffer_append(to, path) &&
           buffer_append(to, SPAN("\")"));
}

uint64_t page_late_version(void)
{
    return XXH3_64bits(script, sizeof script);
}
