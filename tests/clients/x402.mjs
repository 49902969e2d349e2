// The stock x402 fetch client: batch-settlement in stock mode, spend controls set for our token.
// Usage: node x402.mjs GATEWAY RPC PRIVATE_KEY ASSET NETWORK MODEL CALLS   -> one line of JSON
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { createPublicClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const [gateway, rpc, key, asset, network, model, calls] = process.argv.slice(2);
const account = privateKeyToAccount(key);
const chain = createPublicClient({ transport: http(rpc) });
const signer = {
  address: account.address,
  signTypedData: (message) => account.signTypedData(message),
  readContract: (call) => chain.readContract(call),
};
const scheme = new BatchSettlementEvmScheme(signer);
const client = new x402Client().register(network, scheme);
client.setSpendControls({ allowedAssets: [{ network, asset, maxAmountPerPayment: "1000000" }] });
const paid = wrapFetchWithPayment(fetch, client);

const url = `${gateway}/v1/chat/completions`;
const answers = [];
for (let call = 0; call < Number(calls); call += 1) {
  const response = await paid(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model,
      messages: [{ role: "user", content: `Say the number ${call}.` }],
      max_tokens: 8,
      temperature: 0,
    }),
  });
  const body = await response.json();
  const header = response.headers.get("PAYMENT-RESPONSE");
  const settled = header ? decodePaymentResponseHeader(header) : null;
  answers.push({
    status: response.status,
    text: body.choices?.[0]?.message?.content ?? null,
    error: body.error ?? null,
    success: settled?.success ?? null,
    charged: settled?.extra?.chargedAmount ?? null,
    total: settled?.extra?.channelState?.chargedCumulativeAmount ?? null,
    receipt: settled?.extensions?.vouch !== undefined,
  });
}
const refund = await scheme.refund(url);
console.log(JSON.stringify({ answers, refund }));
