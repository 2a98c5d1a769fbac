import './runtimes.ts';
import { createRuntime } from '../src/index.ts';
import { readCheckpoint } from '../examples/llama2c/checkpoint.ts';
import { findModel, readGolden } from '../examples/llama2c/folder.ts';
import { Llama } from '../examples/llama2c/model.ts';
import { generate } from '../examples/llama2c/generate.ts';
import { greedy } from '../examples/sample.ts';
for (const variant of ['simd','relaxed'] as const) for (const m of ['stories260k','babyllama105']) {
 const rt=await createRuntime({threads:1,variant});
 const folder='../shared/models/'+m;
 const ck=await readCheckpoint((await findModel(folder)).checkpoint);
 const golden=await readGolden(folder,ck.config.vocabSize);
 const model=await Llama.create(rt,ck);
 const run=async(o:any,prompt:readonly number[])=>{const rows:Float32Array[]=[];using c=model.cache(o);const g=await generate(model,c,prompt,200,greedy,undefined,(r)=>rows.push(r));return {t:g.tokens,rows};};
 const prompts=[golden.prompt, golden.tokens.slice(0,30)];
 for (const prompt of prompts) {
 const a=await run({},prompt), b=await run({dtype:'int8',smoothKeys:true},prompt);
 let i=a.t.findIndex((x,j)=>x!==b.t[j]);
 const gap=(r:Float32Array)=>{const s=[...r].sort((x,y)=>y-x);return s[0]!-s[1]!};
 let err=0; for(let j=0;j<(i<0?a.rows.length:i+1);j++) a.rows[j]!.forEach((x,n)=>err=Math.max(err,Math.abs(x-b.rows[j]![n]!)));
 const mingap=Math.min(...a.rows.map(gap));
 console.log(variant,m,prompt.length,a.t.length,b.t.length,'differs at',i,'gap f32',i>=0?gap(a.rows[i]!):null,'max logit err up to there',err,'min gap',mingap);
 }
}
