import './runtimes.ts';
import { createRuntime } from '../src/index.ts';
import { readCheckpoint } from '../examples/llama2c/checkpoint.ts';
import { findModel, readGolden } from '../examples/llama2c/folder.ts';
import { Llama } from '../examples/llama2c/model.ts';
import { generate } from '../examples/llama2c/generate.ts';
import { greedy } from '../examples/sample.ts';
type Q=(x:Float32Array,layer:number,h:number)=>void;
const plain:Q=(r)=>{let m=0;for(const x of r)m=Math.max(m,Math.abs(x));const s=m/127;for(let i=0;i<r.length;i++)r[i]=Math.round(r[i]!/s)*s;};
const ls:Q=(r)=>{let m=0;for(const x of r)m=Math.max(m,Math.abs(x));const s=m/127;let xc=0,cc=0;const c=[...r].map(x=>Math.round(x/s));c.forEach((k,i)=>{xc+=k*r[i]!;cc+=k*k;});const t=xc/cc;for(let i=0;i<r.length;i++)r[i]=c[i]!*t;};
const search:Q=(r)=>{let m=0;for(const x of r)m=Math.max(m,Math.abs(x));let best:any=null,be=1e9;for(let g=0;g<40;g++){const s=m/127*(1-0.0+g*0.0125/1);const c=[...r].map(x=>Math.round(x/s));let xc=0,cc=0;c.forEach((k,i)=>{xc+=k*r[i]!;cc+=k*k;});const t=xc/cc;let e=0;c.forEach((k,i)=>{e+=(k*t-r[i]!)**2});if(e<be){be=e;best=c.map(k=>k*t);}}r.set(best);};
const asym:Q=(r)=>{const a=Math.min(...r),b=Math.max(...r);const s=(b-a)/255;for(let i=0;i<r.length;i++)r[i]=Math.round((r[i]!-a)/s)*s+a;};
const none:Q=()=>{};
const firsts=new Map<string,Float32Array>();
const sub=(tag:string,inner:Q):Q=>(r,l,h)=>{const key=tag+l+'/'+h;let f=firsts.get(key);if(!f){f=r.slice();firsts.set(key,f);}const y=r.map((x,i)=>x-f![i]!);if(y.some(x=>x!==0))inner(y,l,h);r.forEach((_,i)=>r[i]=y[i]!+f![i]!);};

// channel factors from the first n tokens
const seen=new Map<string,Float32Array[]>();
const chan=(n:number,f:(rows:Float32Array[],c:number)=>number,shift:boolean,inner:Q=plain,pair=0):Q=>(r,l,h)=>{const key=l+'/'+h;let rows=seen.get(key);if(!rows){rows=[];seen.set(key,rows);}
  if(rows.length<n)rows.push(r.slice());
  const D=r.length; let m=Array.from(r,(_,c)=>f(rows!,c)); 
  if(pair===1)m=m.map((_,c)=>Math.max(m[c&~1]!,m[c|1]!));
  const most=Math.max(...m); m=m.map(x=>Math.max(x,most/64));
  const y=r.map((x,c)=>x/m[c]!); inner(y,l,h); r.forEach((_,c)=>r[c]=y[c]!*m[c]!);};
const mx=(rows:Float32Array[],c:number)=>Math.max(...rows.map(r=>Math.abs(r[c]!)));
const rms=(rows:Float32Array[],c:number)=>Math.sqrt(rows.reduce((a,r)=>a+r[c]!**2,0)/rows.length);
const sq=(g:any)=>(rows:Float32Array[],c:number)=>Math.sqrt(g(rows,c));

const had=(x:Float32Array)=>{const n=x.length;for(let w=1;w<n;w*=2)for(let i=0;i<n;i+=2*w)for(let j=i;j<i+w;j++){const a=x[j]!,b=x[j+w]!;x[j]=a+b;x[j+w]=a-b;}for(let i=0;i<n;i++)x[i]=x[i]!/Math.sqrt(n);};
const hd=(inner:Q,signs=0):Q=>(r,l,h)=>{const sg=[...r].map((_,i)=>signs&&((i*7+3)*(signs)%5<2)?-1:1);for(let i=0;i<r.length;i++)r[i]=r[i]!*sg[i]!;had(r);inner(r,l,h);had(r);for(let i=0;i<r.length;i++)r[i]=r[i]!*sg[i]!;};

const search2=(steps:number,top:number,lsq=true):Q=>(r)=>{let m=0;for(const x of r)m=Math.max(m,Math.abs(x));let best:any=null,be=1e9;for(let g=0;g<steps;g++){const s=m/127*(1+(top-1)*g/steps);const c=[...r].map(x=>Math.round(x/s));let xc=0,cc=0;c.forEach((k,i)=>{xc+=k*r[i]!;cc+=k*k;});const t=lsq?xc/cc:s;let e=0;c.forEach((k,i)=>{e+=(k*t-r[i]!)**2});if(e<be){be=e;best=c.map(k=>k*t);}}r.set(best);};
const variants:[string,Q,Q][]=[['plain',plain,plain],['sub plain',sub('z',plain),plain],['sub ls',sub('y',ls),ls],['sub s8',sub('a',search2(8,1.25)),search2(8,1.25)],['sub s16',sub('b',search2(16,1.5)),search2(16,1.5)],['sub s40',sub('c',search),plain],['s64x2',search2(64,2),search2(64,2)],['sub had16',sub('d',hd(search2(16,1.5))),plain]];
const starts=[null,'Lily','One day','The little dog','Tom and his mom','She was'];
import { Tokenizer } from '../examples/llama2c/tokenizer.ts';
for (const m of ['stories260k','babyllama105']) {
 const rt=await createRuntime({threads:1});
 const folder='../shared/models/'+m;
 const files=await findModel(folder);
 const ck=await readCheckpoint(files.checkpoint);
 const tk=await Tokenizer.read(files.tokenizer,ck.config.vocabSize);
 const golden=await readGolden(folder,ck.config.vocabSize);
 const model=await Llama.create(rt,ck);
 const run=async(kq:Q|null,vq:Q,prompt:readonly number[])=>{const rows:Float32Array[]=[];using c=model.cache({});const orig=c.extend.bind(c);
  if(kq)(c as any).extend=(layer:number,{q,k,v}:any,o:any)=>{const f=(x:any,fn:Q)=>{const d=x.dataSync();const D=x.shape[3],H=x.shape[2];for(let i=0;i<d.length/D;i++)fn(d.subarray(i*D,i*D+D),layer,i%H);return rt.tensor(d,x.shape);};return orig(layer,{q,k:f(k,kq),v:f(v,vq)},o);};
  const g=await generate(model,c,prompt,200,greedy,undefined,(r)=>rows.push(r));return {t:g.tokens,rows};};
 const prompts=starts.map(x=>x===null?golden.prompt:tk.encode(x));
 const base=[];for(const p of prompts)base.push(await run(null,none,p));
 for(const [name,kq,vq] of variants){
 const out:string[]=[];
 for(const [n,p] of prompts.entries()){firsts.clear();seen.clear();
 const a=base[n]!,b=await run(kq,vq,p);
 const i=a.t.findIndex((x,j)=>x!==b.t[j]);
 let sq=0,cnt=0; for(let j=0;j<(i<0?a.rows.length:i+1);j++) a.rows[j]!.forEach((x,k)=>{const e=Math.abs(x-b.rows[j]![k]!);sq+=e*e;cnt++;});
 out.push(`${i}/${a.t.length} ${Math.sqrt(sq/cnt).toFixed(3)}`);}
 console.log(m,name,out.join(' | '));
 }
}
