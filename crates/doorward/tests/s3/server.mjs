// A store that speaks S3 (npm's s3rver), with one bucket. Key and secret are both S3RVER. It looks at nothing but old
// signatures, so that of an address (AWS Signature Version 4) is computed here anew.
import { createHash, createHmac } from "node:crypto";
import { createServer } from "node:http";
import S3rver from "s3rver";

const [address, port, directory] = process.argv.slice(2);
const configureBuckets = [{ name: "backups" }];
const store = new S3rver({ address, port: Number(port), directory, silent: true, configureBuckets });
await store.configureBuckets();
const answer = store.callback();

const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
const encoded = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

function isSigned(request) {
  const url = new URL(request.url, `http://${request.headers.host}`);
  const given = url.searchParams.get("X-Amz-Signature");
  const credential = url.searchParams.get("X-Amz-Credential") ?? "";
  const [key, ...scope] = credential.split("/");
  if (key !== "S3RVER" || scope.length !== 4) return false;
  const query = [...url.searchParams].filter(([name]) => name !== "X-Amz-Signature");
  const names = (url.searchParams.get("X-Amz-SignedHeaders") ?? "").split(";");
  const canonical = [
    request.method,
    url.pathname,
    query.map(([name, value]) => `${encoded(name)}=${encoded(value)}`).sort().join("&"),
    ...names.map((name) => `${name}:${request.headers[name]}`),
    "",
    names.join(";"),
    "UNSIGNED-PAYLOAD",
  ].join("\n");
  const digest = createHash("sha256").update(canonical).digest("hex");
  const text = ["AWS4-HMAC-SHA256", url.searchParams.get("X-Amz-Date"), scope.join("/"), digest].join("\n");
  const signing = scope.reduce(hmac, "AWS4S3RVER");
  return hmac(signing, text).toString("hex") === given;
}

const server = createServer((request, response) => {
  if (isSigned(request)) return answer(request, response);
  response.writeHead(403, { "content-type": "application/xml" });
  response.end("<Error><Code>SignatureDoesNotMatch</Code></Error>");
});
server.listen(Number(port), address, () => console.log("ready"));
